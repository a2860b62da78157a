"""A hub that lies, over a real connection: whatever it sends, one line, in time, and nothing outside the cache."""

from __future__ import annotations

import gzip
import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from llminspect.errors import ModelError
from llminspect.files import hub_arrival, hub_library
from llminspect.files.hub import find
from tests.files.played_server import COMMIT, FILES, WEIGHTS, Handler, Server, git, listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Hostile(NamedTuple):
    server: Server
    cache: Path

    def fetch(self) -> Path:
        return find("org/model", None, offline=False, weights=True)

    def kept(self) -> list[bytes]:
        """The contents of all files of the cache that are no file of the model, and no lock, which is empty."""
        files = [path for path in self.cache.rglob("*") if path.is_file() and path.parent.name != "refs"]
        files = [path for path in files if not path.is_relative_to(self.cache / ".locks") or path.stat().st_size]
        return [content for path in files if (content := path.read_bytes()) not in FILES.values()]


@pytest.fixture
def hostile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hostile]:
    server = Server(("127.0.0.1", 0), Handler)
    server.requests = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(hub_arrival, "PAUSE", 0.0)
    monkeypatch.setattr(hub_arrival, "LOOK_EVERY", 0.01)
    yield Hostile(server, tmp_path / "hub")
    server.shutdown()
    server.server_close()
    thread.join()


def instead(what: str, send: Callable[[Handler], None]) -> Callable[[Handler, str], None]:
    """An attack in one place: the listing ("") or a file."""
    return lambda handler, name: send(handler) if name == what else handler.right(name)


def redirect(target: str) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(b"", 302, Location=target)


def listed(**changes: dict[str, Any]) -> Callable[[Handler], None]:
    return lambda handler: handler.answer(json.dumps(listing(**changes)).encode())


def endless(handler: Handler) -> None:
    """More than was listed, without an end."""
    handler.send_response(200)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    while True:
        handler.wfile.write(b"10000\r\n" + bytes(1 << 16) + b"\r\n")


def large_headers(handler: Handler) -> None:
    handler.send_response(200)
    for number in range(400):
        handler.send_header(f"X-{number}", "x" * 1000)
    handler.end_headers()


def cut_always(handler: Handler) -> None:
    handler.close_connection = True
    handler.answer(b"", length=len(WEIGHTS))


def lying_range(handler: Handler) -> None:
    """Half of it, then the rest from another place than was asked for."""
    half = len(WEIGHTS) // 2
    if "Range" in handler.headers:
        handler.answer(WEIGHTS[5:], 206, Content_Range=f"bytes 5-{len(WEIGHTS) - 1}/{len(WEIGHTS)}")
    else:
        handler.close_connection = True
        handler.answer(WEIGHTS[:half], length=len(WEIGHTS))


def wrong_rest(handler: Handler) -> None:
    half = len(WEIGHTS) // 2
    if "Range" in handler.headers:
        rest = bytes(len(WEIGHTS) - half - 1) + b"x"
        handler.answer(rest, 206, Content_Range=f"bytes {half}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}")
    else:
        handler.close_connection = True
        handler.answer(WEIGHTS[:half], length=len(WEIGHTS))


BOMB = gzip.compress(bytes(64 << 20), 9)
PAGE = b"<html>log in</html>"
SWAPPED = WEIGHTS[:-1] + b"x"
NO_ANSWER, OTHER, AWAY = "is not one of the hub", "not the file that it lists", "cannot be reached"
ATTACKS: dict[str, tuple[Callable[[Handler, str], None], str]] = {
    "a page as the listing": (instead("", lambda handler: handler.answer(PAGE)), NO_ANSWER),
    "a bomb as the listing": (instead("", lambda handler: handler.answer(BOMB, Content_Encoding="gzip")), NO_ANSWER),
    "an endless listing": (instead("", endless), NO_ANSWER),
    "a listing in an unknown packing": (instead("", lambda h: h.right("", Content_Encoding="br")), NO_ANSWER),
    "a listing that only says gzip": (instead("", lambda h: h.right("", Content_Encoding="gzip")), NO_ANSWER),
    "a commit elsewhere": (
        instead("", lambda h: h.answer(json.dumps(listing() | {"sha": "../../x"}).encode())),
        "gives no commit",
    ),
    "large headers": (instead("", large_headers), AWAY),
    "a file of this machine": (instead("", redirect("file:///etc/passwd")), AWAY),
    "to itself for ever": (lambda handler, _: redirect(handler.path)(handler), AWAY),
    "a part that was not asked for": (
        instead("", lambda h: h.answer(b"{}", 206, Content_Range="bytes 1-2/3")),
        NO_ANSWER,
    ),
    "a page as a file": (instead("tokenizer.json", lambda handler: handler.answer(PAGE)), OTHER),
    "nothing as a file": (instead("tokenizer.json", lambda handler: handler.answer(b"")), OTHER),
    "other weights": (instead("model.safetensors", lambda handler: handler.answer(SWAPPED)), OTHER),
    "more than listed": (instead("model.safetensors", lambda handler: handler.answer(WEIGHTS + b"x")), OTHER),
    "less than listed": (instead("model.safetensors", lambda handler: handler.answer(WEIGHTS[:-1])), OTHER),
    "endless weights": (instead("model.safetensors", endless), OTHER),
    "a bomb": (instead("model.safetensors", lambda h: h.answer(BOMB, Content_Encoding="gzip")), OTHER),
    "a length that lies": (instead("model.safetensors", cut_always), AWAY),
    "the rest from elsewhere": (instead("model.safetensors", lying_range), NO_ANSWER),
    "another rest": (instead("model.safetensors", wrong_rest), OTHER),
    "another hash": (instead("", listed(model={"lfs": {"sha256": "0" * 64, "size": len(WEIGHTS)}})), OTHER),
    "a hash that is a path": (instead("", listed(model={"lfs": {"sha256": "../../../x", "size": 9}})), "no hash"),
    "a size that lies": (instead("", listed(model={"size": 1 << 50})), OTHER),
}


def test_a_hub_that_does_not_lie(hostile: Hostile) -> None:
    hostile.server.attack = Handler.right
    found = hostile.fetch()
    assert {path.name: path.read_bytes() for path in found.iterdir()} == FILES
    paths = [path for path, _ in hostile.server.requests]
    assert paths == [
        "/api/models/org/model/revision/main?blobs=true",
        *(f"/org/model/resolve/{COMMIT}/{name}" for name in FILES),
    ]
    for _, headers in hostile.server.requests:  # Nothing of this machine but the token, and who asks.
        assert headers["authorization"] == "Bearer hf_secret"
        assert headers["user-agent"].startswith("llminspect/")
        assert "; " not in headers["user-agent"]
    assert hostile.kept() == []


@pytest.mark.parametrize("what", ATTACKS)
def test_one_line_and_nothing_kept(what: str, hostile: Hostile) -> None:
    hostile.server.attack, message = ATTACKS[what]
    with pytest.raises(ModelError) as caught:
        hostile.fetch()
    assert message in caught.value.message
    assert caught.value.message.isprintable()
    assert hostile.kept() == []
    hostile.server.attack = Handler.right
    assert {path.name: path.read_bytes() for path in hostile.fetch().iterdir()} == FILES


@pytest.mark.parametrize("there", [False, True])
def test_no_header_names_a_file_of_this_machine(there: bool, hostile: Hostile, tmp_path: Path) -> None:
    place = tmp_path / "precious"
    if there:
        place.write_text("precious")

    def attack(handler: Handler, name: str) -> None:
        tag = f'"{place}"'
        headers: dict[str, Any] = {
            "X_Linked_Etag": tag,
            "X_Xet_Hash": "0" * 64,
            "X_Repo_Commit": "../../../x",
            "X_Linked_Size": "1",
        }
        headers |= {"Content_Disposition": f'attachment; filename="{place}"'}
        handler.answer(FILES[name], ETag=tag, **headers) if name else handler.right("")

    hostile.server.attack = attack
    assert {path.name: path.read_bytes() for path in hostile.fetch().iterdir()} == FILES
    assert place.exists() == there
    assert not there or place.read_text() == "precious"


@pytest.mark.parametrize(
    "name", ["../../../../x.tiktoken", "/x.tiktoken", "a/../../x.tiktoken", "..\\x.tiktoken", "C:x.tiktoken"]
)
def test_no_name_in_the_listing_leads_outside(name: str, hostile: Hostile, tmp_path: Path) -> None:
    content = b"aGk= 0\n"

    def attack(handler: Handler, wanted: str) -> None:
        if wanted in FILES:
            handler.right(wanted)
        elif wanted:
            handler.answer(content)
        else:
            listed(tokenizer={"rfilename": name, "size": len(content), "blobId": git(content)})(handler)

    hostile.server.attack = attack
    if "/" in name:  # In no folder of a model is such a file looked for.
        hostile.fetch()
    else:
        with pytest.raises(ModelError, match=NO_ANSWER):
            hostile.fetch()
    assert not list(tmp_path.rglob("*.tiktoken"))


def test_what_breaks_on_the_way_goes_on_where_it_was(hostile: Hostile) -> None:
    half = len(WEIGHTS) // 2

    def attack(handler: Handler, name: str) -> None:
        if name != "model.safetensors":
            handler.right(name)
        elif "Range" in handler.headers:
            assert handler.headers["Range"] == f"bytes={half}-"
            handler.answer(WEIGHTS[half:], 206, Content_Range=f"bytes {half}-{len(WEIGHTS) - 1}/{len(WEIGHTS)}")
        else:
            handler.close_connection = True
            handler.answer(WEIGHTS[:half], length=len(WEIGHTS))

    hostile.server.attack = attack
    assert (hostile.fetch() / "model.safetensors").read_bytes() == WEIGHTS
    assert len(hostile.server.requests) == 5


def test_a_file_that_comes_packed(hostile: Hostile) -> None:
    packed = gzip.compress(FILES["config.json"])
    hostile.server.attack = instead("config.json", lambda handler: handler.answer(packed, Content_Encoding="gzip"))
    assert (hostile.fetch() / "config.json").read_bytes() == FILES["config.json"]


@pytest.mark.parametrize("what", ["", "model.safetensors"])
@pytest.mark.parametrize("begins", [False, True])
def test_a_drip_ends(what: str, begins: bool, hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte now and then, each before the connection is given up, in the headers or in what follows."""
    over = threading.Event()

    def drip(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"Content-Length: 90010\r\n\r\n" if begins else b"X: "))
        while not over.wait(0.02):
            handler.wfile.write(b"x")

    monkeypatch.setattr(hub_arrival, "PATIENCE", 0.3)
    monkeypatch.setattr(hub_arrival, "SLOWEST", 10_000_000)
    monkeypatch.setattr("llminspect.files.hub.PATIENCE", 0.3)
    hostile.server.attack = instead(what, drip)
    before = set(threading.enumerate())
    try:
        with pytest.raises(ModelError, match="sends almost nothing"):
            hostile.fetch()
        working = [one for one in set(threading.enumerate()) - before if one.name == hub_arrival.THREAD]
    finally:
        over.set()
    assert hostile.kept() == []
    assert not begins or not what or not working


def test_a_token_goes_to_no_other_host(hostile: Hostile) -> None:
    other = Server(("127.0.0.1", 0), Handler)
    other.requests, other.attack = [], lambda handler, _: handler.answer(FILES["config.json"])
    threading.Thread(target=other.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        hostile.server.attack = instead("config.json", redirect(f"http://127.0.0.1:{other.server_port}/x"))
        hostile.fetch()
    finally:
        other.shutdown()
        other.server_close()
    [(_, headers)] = other.requests
    assert "authorization" not in headers


def test_bounds_of_memory() -> None:
    """A packed part is unpacked in parts of a megabyte."""
    assert max(map(len, hub_library._unpacked(iter([BOMB]), "gzip", "org/model"))) == hub_library.LARGEST_PART
