"""A setting of another kind of model, or another value: does it count exactly where the reference lets it count?

    python tools/foreign.py [NAME ...]

Needs torch and transformers (the extra `golden`). Every key that any golden configuration holds, or that any family
reads, is put into each golden configuration, with the values that it has in others and some of its type. What opens is
computed where it makes another model here, or where the reference reads a key of that name; the reference computes the
same folder. Said is what is `wrong`, and where the reference makes nothing of a folder that opens here (`alone`). Exits
with 1 where anything is wrong.
"""

from __future__ import annotations

import inspect
import json
import logging
import os
import re
import shutil
import sys
import tempfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as t
from defaults import at, changed, read, watched
from transformers.utils.logging import disable_progress_bar, set_verbosity_error
from variant_computed import EAGER

import llminspect
from llminspect.errors import ModelError, UserError
from llminspect.model.known_settings import MAY_BE_OFF, RANGES
from tests.drawn import make_all
from tests.model.golden import Golden
from tests.model.golden import computed as computed_here

# Ids are those of a vocabulary.
NAMED = {"model_type", "architectures", "auto_map", "transformers_version", "dtype", "torch_dtype", "id2label"}
BY_TYPE: dict[type, tuple[Any, ...]] = {
    bool: (True, False),
    int: (1, 2, 3),
    float: (0.5, 2.5),
    str: (),
    list: (),
    dict: (),
}
NEAR = 2e-4
"""Of the largest value: the reference computes in float32."""


def values_of_keys(configs: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Each key, also those inside a text part and inside `rope_parameters`, with the values that are tried."""
    found: dict[str, list[Any]] = defaultdict(list)

    def note(key: str, value: Any) -> None:
        if value is not None and value not in found[key]:
            found[key].append(value)

    keys = set(MAY_BE_OFF) | set(RANGES)
    for config in configs:
        with watched() as wanted:
            read(config)
        keys |= {place[-1] for place in wanted}
        for part in (config, config.get("text_config") or {}):
            for key, value in part.items():
                note(key, value)
    for key in sorted(keys):
        if not found[key]:
            for value in (True, 2, 0.5):
                note(key, value)
        for kind in {type(value) for value in found[key]}:
            for value in BY_TYPE.get(kind, ()):
                note(key, value)
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 300.0}
    for scaling in (rope, {"type": "linear", "factor": 4.0}, {"rope_type": "dynamic", "factor": 2.0}):
        note("rope_scaling", scaling)
    note("rope_parameters", rope)
    return {
        key: found[key][:12]
        for key in sorted(found)
        if "." not in key and key not in NAMED and not key.endswith("token_id")
    }


class Reads:
    """Which attributes of configurations the reference reads, by their names."""

    def __init__(self) -> None:
        self.names: set[str] = set()

    def __enter__(self) -> Reads:
        self.before = t.PretrainedConfig.__getattribute__
        before, names = self.before, self.names

        def noting(config: Any, name: str) -> Any:
            names.add(name)
            return before(config, name)

        t.PretrainedConfig.__getattribute__ = noting  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: object) -> None:
        t.PretrainedConfig.__getattribute__ = self.before  # type: ignore[method-assign]


def by_reference(folder: Path, golden: Golden, complete: bool = True) -> dict[str, Any]:
    """What the reference computes of a folder. Raises whatever it raises; ValueError where weights are missing."""
    config = json.loads((folder / "config.json").read_text())
    its = getattr(t, config["architectures"][0])
    # Falcon's own attention adds the penalty on distances twice, the other once (docs/decisions.md).
    twice = config["model_type"] == "falcon" and config.get("alibi") is True
    how = {**EAGER, "attn_implementation": "sdpa"} if twice else EAGER
    model, info = its.from_pretrained(folder, dtype=torch.float32, output_loading_info=True, **how)
    if complete and (info["missing_keys"] or info.get("mismatched_keys")):
        raise ValueError(f"lacks {sorted(info['missing_keys'])[:2]}")
    expected = golden.expected
    ids = torch.tensor(np.asarray(expected["ids"]))[None]
    given = {"input_ids": ids}
    if golden.has_source:
        given = {"input_ids": torch.tensor(np.asarray(expected["source_ids"]))[None], "decoder_input_ids": ids}
    output = model.eval()(**given, **({} if golden.has_source or "greedy" not in expected else {"use_cache": False}))
    found = {}
    if hasattr(output, "start_logits"):
        found["labels"] = np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    elif hasattr(output, "logits"):
        found["labels" if "labels" in expected else "logits"] = output.logits[0].numpy()
    elif "normed" in expected:
        found["normed"] = output.last_hidden_state[0].numpy()
    if getattr(output, "pooler_output", None) is not None:
        found["pooled"] = output.pooler_output[0].numpy()
    return found


def compared(folder: Path, golden: Golden, mine: dict[str, Any], wanted: dict[str, Any]) -> str:
    for name in wanted.keys() & mine.keys():
        found, other = np.asarray(mine[name]), np.asarray(wanted[name])
        if found.size != other.size:
            return f"{name} {found.shape}, not {other.shape}"
        off = np.abs(found.reshape(other.shape) - other).max() / max(1e-9, np.abs(other).max())
        if not off < NEAR:
            return f"{name} off by {off:.2g}"
    return "" if wanted.keys() & mine.keys() else "nothing to compare"


def tried(golden: Golden, keys: dict[str, list[Any]], counts: Counter[str]) -> Iterator[str]:
    config = golden.config()
    whole = read(config)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for path in golden.folder.glob("*.safetensors*"):
            shutil.copy(path, folder)
        (folder / "config.json").write_text(json.dumps(config))
        if not hasattr(t, str(config["architectures"][0])):
            counts["golden models without a class"] += 1
            return
        with torch.no_grad(), Reads() as reads:
            usual = by_reference(folder, golden, complete=False)
        base = compared(folder, golden, computed_here(llminspect.open_model(str(folder)), golden), usual)
        if base:
            yield f"{golden.name}, as it is: {base}"
            return
        source = Path(inspect.getfile(getattr(t, config["architectures"][0]).config_class)).read_text()
        theirs = reads.names | set(re.findall(r"\w+", source))
        for around in ((), ("text_config",)):
            part = at(config, around)
            if not isinstance(part, dict):
                continue
            for key, values in keys.items():
                for value in values:
                    if at(config, (*around, key)) == value:
                        continue
                    other = changed(config, (*around, key), value)
                    if answer := one(golden, folder, other, whole, key in theirs, counts):
                        yield f"{golden.name}: {'.'.join((*around, key))} = {json.dumps(value)[:60]}: {answer}"


def one(golden: Golden, folder: Path, other: dict[str, Any], whole: Any, known: bool, counts: Counter[str]) -> str:
    found = read(other)
    if isinstance(found, ModelError):
        counts["refused"] += 1
        return ""
    if found == whole and not known:
        counts["ignored by both"] += 1
        return ""
    (folder / "config.json").write_text(json.dumps(other))
    try:
        mine = computed_here(llminspect.open_model(str(folder)), golden)
    except UserError:
        counts["refused with the tensors"] += 1
        return ""
    except Exception as error:
        counts["wrong"] += 1
        return f"wrong: {type(error).__name__}: {error!s:.100}"
    try:
        with torch.no_grad():
            wanted = by_reference(folder, golden)
    except Exception as error:
        counts["alone"] += 1
        return f"alone: {type(error).__name__}: {error!s:.100}".replace("\n", " ")
    if what := compared(folder, golden, mine, wanted):
        counts["wrong"] += 1
        return f"wrong: {what}"
    counts["right"] += 1
    return ""


def main() -> None:
    set_verbosity_error()
    disable_progress_bar()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    make_all()
    every = sorted(path.parent.name for path in Golden("llama").folder.parent.glob("*/expected.npz"))
    keys = values_of_keys(
        [Golden(name).config(file) for name in every for file in ("config.json", "config.older.json")]
    )
    counts: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as home:
        os.environ["LLMINSPECT_HOME"] = home
        for name in sys.argv[1:] or every:
            try:
                for what in tried(Golden(name), keys, counts):
                    print(what, flush=True)
            except Exception as error:  # The reference's own, of the model as it is.
                print(f"{name}: nothing is known: {type(error).__name__}: {error!s:.100}", flush=True)
    print(f"{len(keys)} keys;", ", ".join(f"{count:,} {what}" for what, count in counts.items()))
    sys.exit(bool(counts["wrong"]))


if __name__ == "__main__":
    main()
