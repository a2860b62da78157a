"""`forward --lens --tuned-lens`: the numbers of the package, and a file of torch.save that is read and never run."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import ModelError, UsageError
from llminspect.files.dictionaries import read_tuned_lens
from llminspect.files.torch_archive import read_tensors
from tests.closeness import assert_close
from tests.schemas import assert_fits

if TYPE_CHECKING:
    from tests.conftest import Program

GOLDEN = Path(__file__).parent.parent / "golden"
LENS, LLAMA = GOLDEN / "tuned-lens", str(GOLDEN / "llama")
with np.load(LENS / "recorded.npz") as _recorded:
    IDS, LOGITS_LTV = _recorded["ids"].tolist(), _recorded["logits"]


@pytest.mark.parametrize("at", [1, 4])
def test_each_layer_says_what_the_package_says(at: int) -> None:
    found = llminspect.forward(IDS, LLAMA, lens=True, tuned_lens=str(LENS), at=at, top=131, target="#9")
    plain = llminspect.forward(IDS, LLAMA, lens=True, at=at, top=131).lens
    assert found.tuned_lens is not None and found.lens is not None and plain is not None
    # The package's map of a layer is of the stream before it, which is the one after the layer before.
    for layer, expected_V in enumerate(LOGITS_LTV[1:, at].astype(np.float64)):
        expected_V = np.exp(expected_V - expected_V.max())
        expected_V /= expected_V.sum()
        entry = found.tuned_lens[layer]
        assert_close([token.prob for token in entry.top], [expected_V[token.id] for token in entry.top])
        assert entry.target is not None and entry.target.rank == (expected_V > expected_V[9]).sum()
    assert [token.id for token in found.tuned_lens[-1].top] == [token.id for token in found.lens[-1].top]
    assert [token.prob for token in found.lens[0].top] == [token.prob for token in plain[0].top]


def test_the_command_shows_both(called: Program) -> None:
    call = ("forward", "--ids", "1,4,2", "--model", LLAMA, "--lens", "--tuned-lens", str(LENS))
    shown = called(*call).out
    assert "\nlens: what" in shown and "\ntuned lens: what" in shown
    document = called(*call, "--json").json
    assert_fits(document, "forward")
    assert len(document["tuned_lens"]) == len(document["lens"]) == 3
    assert called(*call[:-3], "--tuned-lens", str(LENS)).code == 2


def changed(tmp_path: Path, **settings: Any) -> str:
    folder = tmp_path / "lens"
    shutil.copytree(LENS, folder)
    config = {**json.loads((folder / "config.json").read_text()), **settings}
    (folder / "config.json").write_text(json.dumps(config))
    return str(folder)


@pytest.mark.parametrize(("settings", "message"), [
    ({"future": None}, "'future' = null is not understood"),
    ({"lens_type": "other"}, "lens_type"),
    ({"bias": False}, "that it has biases"),
    ({"num_hidden_layers": 4}, "not 4 maps of 36 numbers"),
    ({"d_model": 35}, "not 3 maps of 35 numbers"),
])  # fmt: skip
def test_settings_that_are_not_understood_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=message):
        read_tuned_lens(changed(tmp_path, **settings))


def test_a_lens_of_another_model_is_refused() -> None:
    with pytest.raises(UsageError, match=r"is of 2 layers of 8 numbers, and .* has 3 of 36"):
        llminspect.forward(IDS, LLAMA, lens=True, tuned_lens=str(LENS / "small"))
    with pytest.raises(ModelError, match="there is no folder"):
        llminspect.forward(IDS, LLAMA, lens=True, tuned_lens="nowhere")
    with pytest.raises(ModelError, match=r"holds no config\.json"):
        read_tuned_lens(str(GOLDEN / "dictionaries" / "standard"))


def with_pickle(tmp_path: Path, data: bytes) -> Path:
    """The archive of the lens, with another pickle in it."""
    path = tmp_path / "params.pt"
    with zipfile.ZipFile(LENS / "params.pt") as archive, zipfile.ZipFile(path, "w") as made:
        for name in archive.namelist():
            made.writestr(name, data if name.endswith("data.pkl") else archive.read(name))
    return path


class Trap:
    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return open, (self.path, "w")


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    import pickle

    mark = tmp_path / "ran"
    for protocol in (2, 4):
        with pytest.raises(ModelError, match=r"names 'io open'|instruction|is not run"):
            read_tensors(with_pickle(tmp_path, pickle.dumps({"0.weight": Trap(str(mark))}, protocol)))
    assert not mark.exists()


NESTED = b"\x80\x02)" + b"\x85q\x00h\x00\x86" * 60 + b"."


@pytest.mark.parametrize(("data", "message"), [
    (b"", "not understood"),
    (b"\x80\x02}.", None),
    (b"\x80\x02K\x01.", "no state dict"),
    (b"\x80\x02}X\x01\x00\x00\x00aK\x01s.", "no state dict"),
    (b"\x80\x02}(K\x01K\x02u.", "no text"),
    (b"\x80\x02ccollections\nOrderedDict\n(K\x01tR.", "a call that is not known"),
    (b"\x80\x02S'\\_'\n.", "no state dict"),  # An escape that Python warns of.
    (NESTED, "no state dict|not understood"),
])  # fmt: skip
def test_pickles_that_list_no_tensors_are_refused(data: bytes, message: str | None, tmp_path: Path) -> None:
    path = with_pickle(tmp_path, data)
    if message is None:
        assert read_tensors(path) == {}
        return
    with pytest.raises(ModelError, match=message):
        read_tensors(path)


def test_tensors_that_are_not_where_they_are_said_to_be_are_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(LENS / "small" / "params.pt") as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        data = archive.read(name)
        parts = {entry: archive.read(entry) for entry in archive.namelist()}
    path = tmp_path / "params.pt"
    for old, new in ((b"K\x08K\x08\x86", b"K\x09K\x08\x86"), (b"K\x08K\x01\x86", b"K\x01K\x08\x86")):
        assert old in data
        with zipfile.ZipFile(path, "w") as made:
            for entry, content in parts.items():
                made.writestr(entry, data.replace(old, new, 1) if entry == name else content)
        with pytest.raises(ModelError, match="is not where"):
            read_tensors(path)
    (tmp_path / "params.pt").write_bytes(b"\x80\x02}.")
    with pytest.raises(ModelError, match=r"no file of torch\.save"):
        read_tensors(path)
