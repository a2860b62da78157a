"""All pairs of each command's options: every one that is given is used or refused, none is dropped in silence."""

from __future__ import annotations

import itertools
import json
import re
from typing import TYPE_CHECKING

import pytest

from llminspect import commands, opening
from tests.arguments.options_of_parts import CIRCUIT, DIFF, EXPERIMENTS, FEATURES, GENERATE, OVER, PLACES
from tests.arguments.small_files import once, small_files

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Program

TEXT, LINES = "a b a H<s>", "a b\nb a H<s>\n"
SOURCE = {
    "ids": "--ids 1,267,266,267",
    "file": "--file TEXTFILE",
    "lines": "--lines",
    "special": "--no-special",
    "parse": "--parse special",
    "chat": "--chat",
    "system": "--system b",
    "user": "--user b",
    "tools": "--tools TOOLSFILE",
    "template_options": "--template-option add_generation_prompt=false",
}
OUTPUT = {
    "json": "--json",
    "digits": "--digits 2",
    "save": "--save OUT.svg",
    "width": "--width 50",
    "theme": "--theme light",
}
PATCH = {"patch": "--patch b_b_a_H<s>", "into": "--into 0.stream", "position": "--position 1", "align": "--align 1=0"}
PAIR = {"pair": "--pair b"}
OPTIONS: dict[str, dict[str, str]] = {
    "tokenize": {
        **PAIR,
        "compare": "--compare toy",
        "count": "--count",
        "watch": "--watch",
        "steps": "--steps",
        "cost": "--cost 2.5",
        "prices": "--prices TEXTFILE",
        "budget": "--budget 3",
        "top_files": "--top-files 3",
        "by_line": "--by-line",
        "paths": "TEXTFILE",
        "max_tokens_allowed": "--max-tokens-allowed 3",
        "truncate": "--truncate 3",
        "side": "--side start",
        "inside_characters": "--inside-characters",
        "workers": "--workers 1",
        "interactive": "--interactive",
    },
    "encode": {
        **PAIR,
        "search": "--search *",
        "only": "--only special",
        "longest": "--longest",
        "limit": "--limit 2",
        "decode": "--decode",
        "one_hot": "--one-hot",
        "letters": "--letters",
        "workers": "--workers 1",
    },
    "embed": {
        **PAIR,
        "beside": "--with b",
        "at": "--at 1",
        "pool": "--pool mean",
        "normalize": "--normalize",
        "nearest": "--nearest 3",
        "words": "--words",
        "metric": "--metric dot",
        "analogy": "--analogy a-b",
        "exclude_inputs": "--exclude-inputs",
        "similarity": "--similarity",
        "project": "--project pca",
        "positions": "--positions",
    },
    "attend": {
        **(PAIR | EXPERIMENTS | PATCH),
        "layer": "--layer 1",
        "head": "--head 1",
        "mean": "--mean",
        "show": "--show scores",
        "query": "--query 2",
        "steps": "--steps",
        "find": "--find 2->1",
        "control": "--control b_b_b_H<s>",
        "rollout": "--rollout",
        "contributions": "--contributions",
        "measure": "--measure sink",
        "over": "--over RECORDSFILE",
        "interactive": "--interactive",
    },
    "forward": {
        **PAIR,
        "top": "--top 1",
        "at": "--at 1",
        "trace": "--trace",
        "layer": "--layer 0",
        "steps": "--steps",
        "lens": "--lens",
        "tuned_lens": "--tuned-lens LENSFOLDER",
        "all": "--all",
        "attribution": "--attribution",
        "neurons": "--neurons 2",
        "target": "--target #5",
        "versus": "--versus #6",
        "score": "--score b --score H",
        "scores": "--scores WAYSFILE",
        "saliency": "--saliency",
        "surprise": "--surprise",
        "perplexity": "--perplexity",
        "window": "--window 3",
        "sweep": "--sweep head",
        "noising": "--noising",
        "over": "--over RECORDSFILE",
        "interactive": "--interactive",
        **EXPERIMENTS,
        **PATCH,
    },
    "generate": {**GENERATE, **EXPERIMENTS, **PATCH},
    "diff": DIFF,
    "walk": {"paused": "--pause", "interactive": "--interactive"},
    "explore": {
        "chat": "--chat",
        "features": "--features DICTIONARYFOLDER",
        "features_at": "--features-at blocks.0.hook_resid_pre",
        "session": "--session TEXTFILE",
    },
    "head": {**OVER, "token": "--token b", "distance": "--distance 2", "top": "--top 2", "words": "--no-words"},
    "neuron": {**OVER, "top": "--top 2", "words": "--no-words", "examples": "--examples 1", "lowest": "--lowest"},
    "features": FEATURES,
    "probe": {
        "at": "--at 1",
        "pool": "--pool mean",
        "labels": "--labels classes",
        "regression": "--regression ridge",
        "penalty": "--penalty 9",
        "folds": "--folds 2",
        "shuffles": "--shuffles 2",
        "seed": "--seed 7",
    },
    "circuit": CIRCUIT,
    "info": {"tensors": "--tensors"},
    "models": {"kinds": "--kinds", "picture": "--picture sizes"},
    "verify": {
        "against": "--against RECORDEDFILE",
        "record": "--record OUT.npz",
        "ids": "--ids 3,4",
        "bound": "--bound 0.1",
    },
    "cache": {"limit": "--limit 2GB", "everything": "--all", "yes": "--yes"},
    "pull": {},
    "help": {},
    "schema": {},
}
POSITIONAL: dict[str, str | None] = {
    **PLACES, "explore": TEXT, "verify": "MODELFILE", "help": "head", "schema": "info",
    **dict.fromkeys(("info", "models", "cache", "pull")),
}  # fmt: skip
"""What stands in place of a text, of commands that read none."""
FIRST = {"features": ["DICTIONARYFOLDER"]}  # Before the text.
LEFT_OUT = {
    **dict.fromkeys(
        (
            "text model revision offline ignore_settings adapter "
            "engine kernels precision threads mesh dtype coordinator process"
        ).split(),
        "what runs",
    ),
    **dict.fromkeys(("color", "quiet"), "what a person sees of it"),
    **dict.fromkeys("place records name dictionary clean corrupt topic action names".split(), "in place of a text"),
    "more": "as --with",
    "against_adapter": "what runs",
    "target_ids": "of an encoder–decoder",
    "target_language": "of an encoder–decoder",
    "part": "of an encoder–decoder",
    "target": "of an encoder–decoder",
    "mask": "of toy-attention",
    "model_settings": "of a model's folder",
    **dict.fromkeys("gradient exact integrated baseline path_steps of".split(), "other ways to --saliency and --patch"),
}
WITHOUT_MODEL = {"models", "verify", "cache", "pull", "help", "schema"}
BASE = {"generate": ["--max-tokens", "5"], "diff": ["--against", "b <s>"], "circuit": ["b h b", "--target", "#5"]}
TAKE_THE_PLACE_OF_TEXT = {"ids", "file", "lines", "user", "analogy", "search", "over"}
IMPLIED = {
    ("json", "lines"): "--lines writes JSON",
    ("digits", "lines"): "ids and counts are whole numbers",
    ("digits", "json"): "ids and counts are whole numbers",
    ("chat", "system"): "a role asks for the template",
    ("chat", "user"): "a role asks for the template",
    ("special", "letters"): "the letters have no special tokens",
    ("lookup", "stream"): "guessing is how fast it is written, not what",
    ("tensors", "json"): "JSON has every tensor anyway",
    ("inside_characters", "truncate"): "no character of the text has several bytes",
}
"""An option, and another beside which it changes nothing, with the reason."""
SHARED_TRIED = ("tokenize", "embed", "forward", "generate")
"""Commands on which pairs of options that all commands share are tried: where from, and what is written."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("pairs"))


@pytest.fixture(autouse=True)
def opened_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Thousands of command lines open the same two files."""
    for name in ("_tokenizer", "_assemble"):
        monkeypatch.setattr(opening, name, once(getattr(opening, name)))


def options_of(command: str) -> dict[str, str]:
    return {**({} if command in POSITIONAL else SOURCE), **OUTPUT, **OPTIONS[command]}


class Runs:
    """Runs a command with some of its options, each combination once, and keeps what came of it."""

    def __init__(self, called: Program, folder: Path, command: str) -> None:
        self.called, self.folder, self.command = called, folder, command
        self.options = options_of(command)
        if command == "verify":
            called("verify", self._word("MODELFILE"), "--record", self._word("RECORDEDFILE"), "--ids", "3,4")

    def __call__(self, *names: str, also: tuple[str, ...] = ()) -> tuple[int, str]:
        """The exit code and what was written, without times and without the provenance."""
        for saved in self.folder.glob("out*.svg"):  # With --lines one of each line.
            saved.unlink()
        texts = [] if TAKE_THE_PLACE_OF_TEXT & set(names) else [POSITIONAL.get(self.command, TEXT)]
        base = [] if {"max_tokens", "against", "over"} & set(names) else BASE.get(self.command, [])
        model = (
            [] if "letters" in names or self.command in WITHOUT_MODEL else ["--model", str(self.folder / "small.gguf")]
        )
        words = [self._word(word) for name in names for word in self.options[name].split()]
        given = [self._word(text) for text in (*FIRST.get(self.command, ()), *texts) if text is not None]
        ran = self.called(self.command, *given, *words, *base, *model, *also, stdin=LINES if "lines" in names else "")
        assert ran.code in (0, 1, 2, 4), (names, ran.err)
        assert len(ran.err.splitlines()) <= 1, (names, ran.err)
        return ran.code, timeless(ran.out) + "".join(
            saved.read_text() for saved in sorted(self.folder.glob("out*.svg"))
        )

    def _word(self, word: str) -> str:
        word = (
            word.replace("TEXTFILE", str(self.folder / "text"))
            .replace("RECORDSFILE", str(self.folder / "records"))
            .replace("PAIRSFILE", str(self.folder / "pairs"))
            .replace("WAYSFILE", str(self.folder / "ways"))
            .replace("TOOLSFILE", str(self.folder / "tools"))
            .replace("CORPUSFILE", str(self.folder / "corpus"))
            .replace("DICTIONARYFOLDER", str(self.folder / "layers.1"))
            .replace("LENSFOLDER", str(self.folder / "lens"))
            .replace("LABELSFILE", str(self.folder / "labels"))
            .replace("RECORDEDFILE", str(self.folder / "recorded.npz"))
            .replace("MODELFILE", str(self.folder / "small.gguf"))
            .replace("OUT", str(self.folder / "out"))
        )
        return word if word.startswith(("-", str(self.folder))) else word.replace("_", " ")


def timeless(text: str) -> str:
    lines = []
    for line in text.splitlines():
        if line.startswith('{"schema"'):
            document = json.loads(line)
            document.pop("provenance", None)
            line = re.sub(r'"seconds": [^,}]*', "", json.dumps(document))
        lines.append(re.sub(r" *[0-9.]+ (ms|µs|s)\b", "", line))
    return "\n".join(lines)


@pytest.mark.parametrize("command", OPTIONS)
def test_every_option_is_tried(command: str) -> None:
    fields = set(commands.function(command).__signature__.parameters) - {"context"}
    assert fields == (fields & set(LEFT_OUT)) | options_of(command).keys()


@pytest.mark.parametrize("command", OPTIONS)
def test_no_option_is_dropped_beside_another(
    called: Program, folder: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("secrets.randbelow", lambda below: 7)  # What is drawn without --seed.
    run = Runs(called, folder, command)
    nothing = run()
    alone = {name: run(name) for name in run.options}
    dropped = []
    shared = {*SOURCE, *OUTPUT}
    for first, second in itertools.combinations(run.options, 2):
        if {first, second} <= shared and command not in SHARED_TRIED:
            continue
        both = run(first, second)
        for name, other in ((first, second), (second, first)):
            # Refused, of no effect by itself either, or with an effect beside the other.
            if both[0] in (1, 2) or alone[name] == nothing or both != alone[other] or (name, other) in IMPLIED:
                continue
            more = [] if "json" in (name, other) else ["--json"]
            # Filters of the next token may all leave the one that is drawn; the table says what each left.
            more += ["--steps"] if command == "generate" and "steps" not in (name, other) else []
            if run(first, second, also=tuple(more)) == run(other, also=tuple(more)):
                dropped.append(f"{name} beside {other}")
    assert dropped == []
