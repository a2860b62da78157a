"""Make the golden data: for each family a tiny random model and what the reference implementation computes with it.

    PYTHONPATH=. python tools/make_golden.py tests/golden [family ...]

Needs torch and transformers (the extra `golden`). A folder a family: `config.json` in today's form, `config.older.json`
in the form that most published models have, `weights.txt` (see `tests/drawn.py`), and `expected.npz`: the ids, the
logits, the attention weights, the residual stream (after the embedding and after each layer, the last before the final
norm) and 12 tokens chosen greedily, each from a whole new pass. Everything is computed and written in float64.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import golden_decoders
import golden_encoders
import golden_experts
import golden_families
import golden_further
import golden_gemma
import golden_grown
import golden_hybrids
import golden_kin
import golden_latent
import golden_later
import golden_masking
import golden_mixtures
import golden_more
import golden_older
import golden_others
import golden_parallel
import golden_rwkv
import golden_seq2seq
import golden_small
import golden_state
import numpy as np
import torch
from golden_drawn import KINDS, described, drawn
from golden_exact import Stream, exact, greedy, in_float64, stacked
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from tests import drawn as drawn_weights

MODULES = (
    *(golden_families, golden_grown, golden_latent, golden_mixtures, golden_experts, golden_later, golden_small),
    *(golden_decoders, golden_parallel, golden_masking, golden_state, golden_hybrids, golden_encoders, golden_kin),
    *(golden_seq2seq, golden_gemma, golden_rwkv, golden_more, golden_others, golden_further),
)


def expected_values(family: Any, model: Any, ids: torch.Tensor) -> dict[str, np.ndarray[Any, Any]]:
    """What the reference computes, by the names of `expected.npz`."""
    stream = Stream(family.layers(model), family.active)
    if family.kind == "encoder-decoder":
        source, target = ids, ids[:, : family.prompt].flip(-1)
        encoder = Stream(family.encoder_layers(model))
        output = model(input_ids=source, decoder_input_ids=target, output_attentions=True, use_cache=False)
        return {
            "source_ids": source[0].numpy(),
            "ids": target[0].numpy(),
            "encoder_hidden": encoder.taken(),
            "encoder_attentions": stacked(output.encoder_attentions),
            "cross_attentions": stacked(output.cross_attentions),
            "attentions": stacked(output.decoder_attentions),
            "hidden": stream.taken(),
            "logits": output.logits[0].numpy(),
            "greedy_prompt": target[0, :1].numpy(),
            "greedy": greedy(model, target[:, :1], input_ids=source),
        }
    output = model(input_ids=ids, output_attentions=True)
    values = {"ids": ids[0].numpy(), "hidden": stream.taken()}
    if getattr(output, "attentions", None):  # Of the layers that have any.
        values["attentions"] = stacked([weights for weights in output.attentions if weights is not None])
    if family.kind == "encoder":
        values["pooled"] = output.pooler_output[0].numpy()
    elif family.kind == "body":
        values["normed"] = output.last_hidden_state[0].numpy()
    elif family.kind == "labels":
        labels = output.logits[0].numpy()  # One number a token has no axis of labels there.
        values["labels"] = labels[:, None] if labels.shape == (family.tokens,) else labels
    elif family.kind == "span":
        values["labels"] = np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    else:
        values["logits"] = output.logits[0].numpy()
    if family.kind == "decoder":
        values["greedy_prompt"] = ids[0, : family.prompt].numpy()
        values["greedy"] = greedy(model, ids[:, : family.prompt])
    return values


def make(family: Any, folder: Path) -> None:
    config = family.config()
    model = family.model(config)
    if family.untied:
        model.lm_head.weight = torch.nn.Parameter(torch.empty_like(model.lm_head.weight))
    lines = described(model, family)
    for seed in range(100):
        description = "\n".join([f"seed {seed} {KINDS[family.rounded_to]}", *lines]) + "\n"
        model = drawn(family, description)
        ids = torch.randint(3, family.vocabulary, (1, family.tokens), generator=torch.Generator().manual_seed(seed))
        if family.padding:
            ids[:, -family.padding :] = config.pad_token_id
        if getattr(config, "token_dropout", False) and config.mask_token_id not in ids:
            continue
        try:
            with torch.no_grad(), in_float64():
                values = expected_values(family, exact(model, family.untied), ids)
            break
        except ValueError:
            continue
    else:
        raise SystemExit(f"{family.name}: no seed gives choices that are clear")
    shutil.rmtree(folder, ignore_errors=True)
    whole = model if family.rounded_to is None else model.to(family.rounded_to)
    whole.save_pretrained(folder, max_shard_size=family.shard)
    (folder / "generation_config.json").unlink(missing_ok=True)
    if family.published:
        as_published(family, folder)
    written = json.loads((folder / "config.json").read_text())
    older = golden_older.older_form(written)
    (folder / "config.older.json").write_text(json.dumps(older, indent=2, sort_keys=True) + "\n")
    np.savez_compressed(folder / "expected.npz", **values)
    (folder / drawn_weights.DESCRIPTION).write_text(description)
    before = read(folder)
    drawn_weights.make(folder)
    after = read(folder)
    if before.keys() != after.keys() or not all(torch.equal(before[name], after[name]) for name in before):
        raise SystemExit(f"{family.name}: what is drawn is not what the reference would write")
    size = sum(file.stat().st_size for file in folder.iterdir() if file.suffix != ".safetensors")
    print(f"{family.name}: seed {seed}, {size / 1000:.0f} kB")


def read(folder: Path) -> dict[str, torch.Tensor]:
    return {name: tensor for path in folder.glob("*.safetensors") for name, tensor in load_file(path).items()}


def as_published(family: Any, folder: Path) -> None:
    """A model that the reference has no class for, in the form of its own files."""
    config = family.published(json.loads((folder / "config.json").read_text()))
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    tensors = load_file(folder / "model.safetensors")
    save_file({family.renamed(name): tensor for name, tensor in tensors.items()}, folder / "model.safetensors")


def main(arguments: list[str]) -> None:
    target, wanted = Path(arguments[0]), set(arguments[1:])
    logging.disable_progress_bar()
    for family in [family for module in MODULES for family in module.FAMILIES]:
        if not wanted or family.name in wanted:
            make(family, target / family.name)


if __name__ == "__main__":
    main(sys.argv[1:])
