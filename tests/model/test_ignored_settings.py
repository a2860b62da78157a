"""`--ignore-setting`: a model with a setting that is not understood opens all the same, and every output says so."""

from __future__ import annotations

import html
import json
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import llminspect
from llminspect.errors import ModelError, UsageError
from llminspect.opening import describe_model, open_model
from tests.fuzz.samples import llama, vocabulary
from tests.model.golden import FOLDER

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

NOTE = "llminspect: settings were passed over, so the numbers may not be the model's: strange\n"


@pytest.fixture
def folder(tmp_path: Path) -> str:
    return strange(tmp_path, strange=3)


def strange(folder: Path, **settings: Any) -> str:
    shutil.copy(FOLDER / "llama" / "model.safetensors", folder / "model.safetensors")
    config = json.loads((FOLDER / "llama" / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **settings}))
    return str(folder)


COMMANDS = {
    "embed": "--ids 5,6",
    "attend": "--ids 5,6",
    "forward": "--ids 5,6",
    "generate": "--ids 5,6 --max-tokens 2",
    "diff": f"--ids 5,6 --against-model {FOLDER / 'llama-biased'}",
    "verify": "",
    "info": "",
}


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_takes_it_and_says_so(command: str, folder: str, called: Program) -> None:
    given = (command, *COMMANDS[command].split(), "--model", folder)
    refused = called(*given)
    assert refused.code == 3
    assert "strange = 3" in refused.err and "--ignore-setting NAME opens it" in refused.err
    ran = called(*given, "--ignore-setting", "strange", "--json")
    assert (ran.code, ran.err) == (0, NOTE)
    assert ran.json["provenance"]["ignored_settings"] == ["strange"]
    assert ran.json["provenance"]["options"]["ignore_settings"] == ["strange"]
    assert ran.json["notes"][0] == NOTE.removeprefix("llminspect: ").strip()
    # --quiet hides it only where the document says so.
    assert called(*given, "--ignore-setting", "strange", "--quiet").err == NOTE
    assert not called(*given, "--ignore-setting", "strange", "--quiet", "--json").err
    plain = called(*given[:-1], str(FOLDER / "llama"), "--json")
    assert (
        "ignored_settings" not in plain.json["provenance"]
        and "ignore_settings" not in plain.json["provenance"]["options"]
    )


def test_a_page_says_so(folder: str, called: Program, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    given = ("attend", "--ids", "5,6", "--model", folder, "--ignore-setting", "strange", "--save", str(page))
    for more in ((), ("--interactive",)):
        assert called(*given, *more).code == 0
        assert "settings were passed over" in page.read_text()


@pytest.mark.parametrize("ending", [".json", ".txt", ".svg", ".html"])
@pytest.mark.parametrize("command", [*COMMANDS, "head 0.1", "neuron 0.1"])
def test_every_kind_of_saved_file_says_so(
    command: str, ending: str, folder: str, called: Program, tmp_path: Path
) -> None:
    file = tmp_path / f"out{ending}"
    given = (*command.split(), *COMMANDS.get(command, "").split(), "--model", folder, "--ignore-setting", "strange")
    ran = called(*given, "--save", str(file), "--color", "never")
    assert (ran.code, ran.err) == (0, NOTE)
    words = " ".join(html.unescape(re.sub("<[^>]*>", " ", file.read_text())).split())
    assert NOTE.removeprefix("llminspect: ").strip() in words


def test_a_png_says_so(folder: str, called: Program, tmp_path: Path) -> None:
    sizes = []
    for model, more in ((folder, ("--ignore-setting", "strange")), (str(FOLDER / "llama"), ())):
        given = ("info", "--model", model, *more, "--save", str(tmp_path / "out.png"))
        assert called(*given).code == 0
        sizes.append(int.from_bytes((tmp_path / "out.png").read_bytes()[20:24], "big"))
    assert sizes[0] > sizes[1]  # By the lines of the note.


def test_a_recording_says_so(folder: str, called: Program, tmp_path: Path) -> None:
    record = str(tmp_path / "a.npz")
    given = ("verify", folder, "--ignore-setting", "strange")
    assert called(*given, "--record", record).code == 0
    with np.load(record) as saved:
        assert saved["notes"].tolist() == [NOTE.removeprefix("llminspect: ").strip()]
    assert called(*given, "--against", record).code == 0


@pytest.mark.parametrize("command", ["forward", "attend", "embed"])
def test_an_archive_says_so(command: str, folder: str, called: Program, tmp_path: Path) -> None:
    given = (
        command,
        "--ids",
        "5,6",
        "--ignore-setting",
        "strange",
        "--save",
        str(tmp_path / "a.npz"),
        "--model",
        folder,
    )
    assert called(*given).code == 0
    with np.load(tmp_path / "a.npz") as saved:
        assert saved["notes"].tolist() == [NOTE.removeprefix("llminspect: ").strip()]


def test_a_bare_number_says_so(folder: str, called: Program) -> None:
    ran = called("forward", "--ids", "5,6", "--perplexity", "--quiet", "--ignore-setting", "strange", "--model", folder)
    assert (ran.code, ran.err) == (0, NOTE)


def test_in_python(folder: str) -> None:
    with pytest.raises(ModelError, match="strange"):
        llminspect.open_model(folder)
    model = llminspect.open_model(folder, ignore_settings=["strange"])
    assert model.provenance["ignored_settings"] == ["strange"]
    assert llminspect.forward([5, 6], model).next == llminspect.forward([5, 6], str(FOLDER / "llama")).next
    assert llminspect.info(folder, ignore_settings="strange").family == "llama"
    written = [NOTE.removeprefix("llminspect: ").strip()]
    results = [
        llminspect.forward([5, 6], model),
        llminspect.attend([5, 6], model),
        llminspect.embed([5, 6], model=model),
    ]
    results += [llminspect.generate([5, 6], model, max_tokens=1), llminspect.info(folder, ignore_settings="strange")]
    assert [result.notes for result in results] == [written] * 5


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["other", "strange"], "'other': the model's file has no setting of that name"),
        (["hidden_size", "strange"], "'hidden_size': this setting is understood"),
        (["strange", "license"], "'license': this setting is understood"),
        (["rope_theta", "strange"], "'rope_theta': this setting is understood"),
        ([""], "'': the model's file has no setting"),
    ],
)
def test_a_name_that_says_nothing_is_refused(names: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=message):
        open_model(strange(tmp_path, strange=3, license="mit"), ignore_settings=names)


def test_each_of_several_has_to_be_named(tmp_path: Path) -> None:
    model = strange(tmp_path, strange=3, odd=False)
    with pytest.raises(ModelError, match="odd = false"):
        describe_model(model, ignore_settings=["strange"])
    found = describe_model(model, ignore_settings=["strange", "odd"]).located
    assert found is not None and found.provenance["ignored_settings"] == ["odd", "strange"]


def test_one_inside_an_object(tmp_path: Path) -> None:
    rope = {"rope_theta": 500.0, "rope_type": "default", "strange": 1}
    describe_model(strange(tmp_path, rope_parameters=rope), ignore_settings=["strange"])


def test_a_value_that_is_not_understood_is_not_passed_over(tmp_path: Path) -> None:
    model = strange(tmp_path, hidden_act="strange")
    with pytest.raises(ModelError, match='hidden_act = "strange" is not understood') as refused:
        describe_model(model, ignore_settings=["hidden_act"])
    assert "the model needs this setting" in str(refused.value.hint)
    with pytest.raises(ModelError, match="strange = 3") as refused:
        describe_model(strange(tmp_path, strange=3), ignore_settings=["rms_norm_eps"])
    assert "rms_norm_eps: understood, and not passed over" in str(refused.value.hint)


@pytest.mark.parametrize("name", ["strange", "llama.strange"])
def test_of_a_gguf_file(name: str, tmp_path: Path) -> None:
    file = llama(vocabulary("gpt2"), 264)
    file.metadata.append(("llama.strange", 3))
    path = tmp_path / "m.gguf"
    path.write_bytes(file.build())
    with pytest.raises(ModelError, match="strange = 3"):
        open_model(str(path))
    assert open_model(str(path), ignore_settings=[name]).provenance["ignored_settings"] == [name]


def test_what_has_no_settings_is_refused(called: Program) -> None:
    ran = called("forward", "world", "--model", "toy", "--ignore-setting", "strange")
    assert ran.code == 2
    assert "--ignore-setting has no effect on toy" in ran.err
    for command in ("tokenize", "encode", "pull"):
        assert called(command, "a", "--ignore-setting", "strange").code == 2
