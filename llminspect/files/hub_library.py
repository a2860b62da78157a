"""The Hugging Face hub's answers, over the connection of its own library: bounded in bytes, looked at, in our words.

The library itself would take a file's name in its cache from a header, and a page of any size into memory; and it asks
the hub which variables of the environment to look for. So what is asked, and what becomes of an answer, is ours.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import quote

from llminspect.errors import ModelError, reader
from llminspect.version import __version__

HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""A hash as the hub gives it: git's number of a file, or the SHA-256 of a large one."""
SILENCE = 10.0
"""Seconds without a byte after which the hub is given up."""
LARGEST_LISTING, LARGEST_PART = 16 << 20, 1 << 20
"""Bytes of a listing, and of a packed part of an answer that are unpacked at once."""
TOKEN_HINT = "if it is private or gated, set HF_TOKEN to a token that may read it"
HTTP_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
"""Packages whose exceptions mean that the network failed: the library has changed clients before."""

_RANGE = re.compile(r"bytes (\d{1,18})-.*")


class Listed(NamedTuple):
    """A file as the hub lists it."""

    size: int
    hash: str
    """Its SHA-256 where it is a large file, else git's number of it; in hex."""


class Unreachable(ModelError):
    """The hub is not to be had now; it may be later."""


class Hub:
    """The hub as `huggingface_hub` reaches it: tokens, mirrors and proxies by its own environment."""

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, Listed]]:
        """The commit that a revision stands for, and its files. ModelError: it cannot be had, or is no listing."""
        path = f"/api/models/{repo}/revision/{quote(revision, safe='')}?blobs=true"
        content = bytearray()
        with self._answer(path, 0, repo, revision) as (_, parts):
            for part in parts:
                content += part
                if len(content) > LARGEST_LISTING:
                    raise no_answer(repo)
        return _listed(bytes(content), repo)

    @contextmanager
    def body(self, repo: str, commit: str, name: str, start: int) -> Iterator[tuple[int, Iterator[bytes]]]:
        """A file's bytes as they come, and where in it they begin: at `start`, or at 0 where the hub sends all of it.
        ModelError: it cannot be had; Unreachable where another try may help."""
        with self._answer(f"/{repo}/resolve/{commit}/{quote(name)}", start, repo, commit) as answer:
            yield answer

    @contextmanager
    def _answer(self, path: str, start: int, repo: str, revision: str) -> Iterator[tuple[int, Iterator[bytes]]]:
        from huggingface_hub import constants, get_session, get_token

        headers = {"user-agent": f"llminspect/{__version__}", "accept-encoding": "identity"}
        with explained(repo):
            token = None if constants.HF_HUB_DISABLE_IMPLICIT_TOKEN else get_token()
            if token:
                headers["authorization"] = f"Bearer {token}"
            if start:
                headers["range"] = f"bytes={start}-"
            url = constants.ENDPOINT.rstrip("/") + path
            with get_session().stream("GET", url, headers=headers, timeout=SILENCE) as response:
                given = response.headers
                if response.status_code >= 300:
                    raise refusal(response.status_code, given, repo, revision)
                begins = _RANGE.fullmatch(given.get("content-range", "")) if response.status_code == 206 else None
                if (response.status_code == 206) != (begins is not None) or (begins and int(begins[1]) != start):
                    raise no_answer(repo)
                yield (start if begins else 0), _unpacked(response.iter_raw(), given.get("content-encoding", ""), repo)


def _unpacked(parts: Iterator[bytes], encoding: str, repo: str) -> Iterator[bytes]:
    """The bytes, of which the hub packs some although it is told not to; never many at once."""
    if encoding in ("", "identity"):
        yield from parts
        return
    if encoding != "gzip":
        raise no_answer(repo)
    unpacker = zlib.decompressobj(wbits=31)
    for part in parts:
        while part:
            yield unpacker.decompress(part, LARGEST_PART)
            part = unpacker.unconsumed_tail


@reader("the listing of the hub")
def _listed(content: bytes, repo: str) -> tuple[str, Mapping[str, Listed]]:
    """The commit and the files of an answer. ModelError: it is no listing of files."""
    try:
        answer: dict[str, Any] = json.loads(content)
        listed = {}
        for file in answer.get("siblings") or []:
            large, name = file.get("lfs"), file["rfilename"]
            digits = (file.get("blobId") if large is None else large["sha256"]) or ""
            size = file.get("size") or 0
            plain = isinstance(digits, str) and isinstance(name, str) and encodable(name)
            if not plain or type(size) is not int or not 0 <= size < 1 << 63:
                raise no_answer(repo)
            listed[name] = Listed(size, digits)
        commit = answer.get("sha") or ""
    except (ValueError, RecursionError, TypeError, KeyError, AttributeError):
        raise no_answer(repo) from None  # HTML, or JSON of another form.
    if not isinstance(commit, str):
        raise no_answer(repo)
    return commit, listed


def encodable(name: str) -> bool:
    """Whether a name is one that a file can have: no half character, and not empty."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def no_answer(repo: str) -> ModelError:
    return ModelError(
        f"the answer that came for {repo} is not one of the hub",
        "look at what HF_ENDPOINT and the proxy variables lead to (a page to log in?)",
    )


def refusal(status: int, headers: Mapping[str, str], repo: str, revision: str) -> ModelError:
    """What the hub means by an answer that is no file: it says more in two headers."""
    reason = headers.get("x-error-code", "")
    if reason == "GatedRepo":
        return ModelError(f"{repo} asks you to accept its terms first", f"do so on its page; {TOKEN_HINT}")
    if reason == "RevisionNotFound":
        return ModelError(f"{repo} has no revision {revision!r:.100}", "give a branch, a tag or a commit")
    bad_token = headers.get("x-error-message", "").startswith("Invalid credentials")
    if reason == "RepoNotFound" or (status == 404 and reason != "EntryNotFound") or (status == 401 and not bad_token):
        return ModelError(f"there is no model {repo} on the hub", f"check the name; {TOKEN_HINT}")
    if status in (401, 403):
        return ModelError(f"the hub does not let you read {repo}", TOKEN_HINT)
    return ModelError(f"the hub answers {status} for {repo}", "try again later")


@contextmanager
def explained(repo: str) -> Iterator[None]:
    """Around what asks the hub: failures of the network as a ModelError of one line."""
    from huggingface_hub import errors

    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise ModelError(f"{repo} is not in the local hub cache, and HF_HUB_OFFLINE is set", "unset it once") from None
    except OSError as error:
        if error.errno and not isinstance(error, ConnectionError | TimeoutError):
            raise
        raise unreachable(repo) from None
    except zlib.error:
        raise no_answer(repo) from None
    except Exception as error:
        if type(error).__module__.partition(".")[0] in HTTP_CLIENTS:
            raise unreachable(repo) from None
        raise


def unreachable(repo: str) -> Unreachable:
    return Unreachable(
        f"{repo} is not in the local hub cache, and the hub cannot be reached",
        "check the network (HF_ENDPOINT and the proxy variables are honoured) and try again",
    )
