"""Every command on models that together have every part of all: it works, or one line says why it cannot."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.model.cover import abilities, covering, parts, settings, tensors
from tests.model.golden import NAMES, Golden

if TYPE_CHECKING:
    from tests.conftest import Program

IDS = ("--ids", "5,6,7,8")
COMMANDS: dict[str, tuple[str, ...]] = {
    "tokenize": ("tokenize", *IDS),
    "encode": ("encode", *IDS),
    "decode": ("encode", "--decode", *IDS),
    "text": ("forward", "hello"),
    "embed": ("embed", *IDS, "--nearest", "3", "--similarity", "--project", "pca"),
    "embed positions": ("embed", *IDS, "--positions"),
    "embed at a layer": ("embed", *IDS, "--at", "1", "--pool", "mean"),
    "embed at the end": ("embed", *IDS, "--at", "final", "--nearest", "3"),
    "attend": ("attend", *IDS),
    "one head": ("attend", *IDS, "--layer", "1", "--head", "1", "--show", "weights,scores,scaled,masked,values,added"),
    "query": ("attend", *IDS, "--query", "2"),
    "find": ("attend", *IDS, "--find", "3->1"),
    "rollout": ("attend", *IDS, "--rollout"),
    "contributions": ("attend", *IDS, "--contributions"),
    "forward": ("forward", *IDS),
    "trace": ("forward", *IDS, "--trace"),
    "lens": ("forward", *IDS, "--lens", "--all"),
    "steps": ("forward", *IDS, "--steps"),
    "attribution": ("forward", *IDS, "--attribution"),
    "saliency": ("forward", *IDS, "--saliency"),
    "surprise": ("forward", *IDS, "--surprise"),
    "ablate": ("forward", *IDS, "--ablate", "1.0", "--ablate", "0.feedforward"),
    "generate": ("generate", *IDS, "--max-tokens", "3"),
    "beams": ("generate", *IDS, "--max-tokens", "3", "--beams", "2"),
    "info": ("info", "--tensors"),
}
NO_TOKENIZER = dict.fromkeys(("tokenize", "encode", "decode", "text"), "without a tokenizer")
ENCODER = {"generate": "does not generate", "beams": "does not generate", "surprise": "sees the tokens that come after"}
NORMS_AFTER = "the residual stream"
NORMED_AFTER = (
    *(
        "albert",
        "bert",
        "deberta",
        "distilbert",
        "electra",
        "ernie",
        "flaubert",
        "gte",
        "jina",
        "longformer",
        "luke",
        "mpnet",
        "nomic",
    ),
    *("rembert", "roberta", "roformer", "squeezebert", "xlm"),
)
"""Encoders whose norms come after the sums."""
VECTORS = dict.fromkeys(("lens", "steps", "attribution", "saliency"), ", no next token: ")

NO_ATTENTION = "no attention, but keeps a state by"
NONE = {
    **dict.fromkeys(("one head", "query", "find", "rollout"), NO_ATTENTION),
    "ablate": "a state and no attention",
    "embed positions": "adds nothing to a token for its position",
}
HYBRIDS = (
    *("lfm2", "qwen3_5", "qwen3_next", "granitemoehybrid", "bamba"),
    *("lfm2_moe", "qwen3_5_moe", "granitemoehybrid-experts", "jamba", "nemotron_h"),
)
STATES = dict.fromkeys(("mamba", "mamba2", "falcon_mamba", "rwkv7"), NONE)
STATES |= {name: {"rollout": NO_ATTENTION} for name in HYBRIDS}
"""What only an attention in every layer can answer."""


def refused(golden: Golden) -> dict[str, str]:
    """The commands that cannot be done with a model of that kind, and what their line says."""
    known = dict(NO_TOKENIZER)
    if golden.has_source:
        known["contributions"] = "the attention to the source adds its part"
    if golden.name in ("marian", "bart", "bart-untied", "plbart", "blenderbot-small"):
        known["attribution"] = NORMS_AFTER
    if golden.name in ("opt-after", "opt-narrow", "openai-gpt") or golden.name.startswith(("gemma3n", "gemma4")):
        known |= {"contributions": NORMS_AFTER, "attribution": NORMS_AFTER}
    if golden.name.startswith(("t5-", "umt5", "jina-bert")) or golden.name in (
        *("t5", "bloom", "mpt", "falcon-alibi", "deberta", "jamba", "nemotron_h"),
    ):
        known["embed positions"] = "adds nothing to a token for its position"
    known |= STATES.get(golden.name, {})
    if golden.name == "opt-narrow":
        known["embed at the end"] = "these vectors have 12 numbers, those of tokens 7"
    if golden.name == "nemotron_h":
        known |= dict.fromkeys(("one head", "ablate"), "has neither attention nor a state")
        known["rollout"] = "have no attention (the layer with"
    if "greedy" in golden.expected:
        return known
    if golden.name in ("dream", "llada"):
        return known | {"beams": "fills masks", "surprise": ENCODER["surprise"]}
    known |= ENCODER
    if golden.name in ("modernbert", "esm", "esm-absolute"):
        known["attribution"] = "one more layer between the last norm and its output matrix"
    if golden.name.startswith(("albert", "electra")):
        known["embed at the end"] = "these vectors have 24 numbers, those of tokens 14"
    if golden.name == "rembert":
        known["embed at the end"] = "these vectors have 8 numbers, those of tokens 10"
    if golden.name.startswith(NORMED_AFTER):
        known |= {"contributions": NORMS_AFTER, "attribution": NORMS_AFTER}
    body = golden.name.startswith("llama") and not golden.name.endswith("both-ways")
    if body or "labels" in golden.expected:
        known["surprise"] = ", no next token: "
    fills = "logits" in golden.expected and not golden.name.endswith("both-ways")
    return known if fills else known | VECTORS


COVER = covering(NAMES, lambda name: tensors(name) | settings(name) | abilities(name))
DRAWN = covering(NAMES, lambda name: parts(name) | abilities(name) | set(map(str, refused(Golden(name)).items())))
"""A picture hangs on what a model is made of and on what it refuses, not on each tensor and setting."""


@pytest.mark.parametrize(("name", "form"), [*((name, "--json") for name in COVER), *((name, "") for name in DRAWN)])
def test_every_command_works_or_says_why_not(called: Program, name: str, form: str) -> None:
    golden = Golden(name)
    known = refused(golden)
    for what, arguments in COMMANDS.items():
        model = [str(golden.folder)] if arguments[0] == "info" else ["--model", str(golden.folder)]
        if golden.has_source and arguments[0] == "attend":
            model += ["--target-ids", "9,10,11"]
        ran = called(*arguments, *model, *([form] if form else []), COLUMNS="80")
        message = f"{what}: {ran.code} {ran.err}"
        if what not in known:
            assert ran.code == 0, message
            assert ran.out, message
        else:
            assert ran.code in (1, 2, 3), message
            assert len(ran.err.splitlines()) == 1, message
            assert known[what] in ran.err, message
        if form:
            assert ("error" in ran.json) == (what in known), message
            assert ran.json["schema"] == 1
