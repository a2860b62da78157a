"""Small random models with settings drawn from what published configurations hold: is each opened right, or refused?

    python tools/variants.py [--count 500] [--seed 0] [--family llama] [--keep FOLDER]

Needs torch and transformers (the extra `golden`); the project's folder must be on PYTHONPATH. For each variant a
configuration is drawn (`variant_*.py`: the families in turn), saved with random weights, some in bfloat16, and its
`config.json` rewritten as published files are (keys of older versions, keys left out or null, keys that say nothing
added). The reference then opens that folder, as this program does, and both compute: `right` within 1e-5 of the largest
value (or eight times what the reference's own float32 is off), `refused` with its reason, `wrong`, or `unknown` where
the reference makes nothing of it. A share of those that are right is asked for more (`variant_checks.py`): the streams
and weights inside, the tokens that follow with and without the cache, the same weights in a GGUF file. What is not
right is printed with its seed; where anything is wrong the program ends with 1. --keep holds the folders of those.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable  # noqa: TC003
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import golden_older
import make_golden
import numpy as np
import torch
import transformers as t
import variant_checks as checks
import variant_encoders
import variant_experts
import variant_grown
import variant_kin
import variant_latent
import variant_later
import variant_older
import variant_seq2seq
import variant_settings
import variant_state
from safetensors.numpy import save_file
from safetensors.torch import load_file
from transformers.utils.logging import disable_progress_bar, set_verbosity_error

import llminspect
from llminspect.analysis.prompt import decoder_and_target, prompt_of_ids
from llminspect.analysis.vectors import vectors_at
from llminspect.errors import UserError
from llminspect.model.opened import Model  # noqa: TC001

BOUND = checks.BOUND
MOST_ROUNDING = 1e-3
"""Where the reference's float32 is off by more of the largest value, nothing can be said."""
EAGER = {"attn_implementation": "eager", "experts_implementation": "eager"}
MODULES = (
    *(variant_settings, variant_later, variant_latent, variant_encoders, variant_experts, variant_seq2seq),
    *(variant_state, variant_older, variant_grown, variant_kin),
)
HARMLESS: dict[str, Any] = {
    "model_max_length": 4096,
    "seq_length": 2048,
    "max_new_tokens": 512,
    "eos_token_ids": [2, 3],
    "license": "apache-2.0",
    "sliding_window_pattern": None,
    "use_mrope": False,
    "quantization_config": None,
    "unsloth_version": "2025.3.1",
    "use_cache": False,
    "pretraining_tp": 4,
    "transformers.js_config": {"dtype": "q4"},
    "rope_interleaved": False,
    "attention_dropout": 0.1,
    "output_hidden_states": True,
    "bos_token_id": None,
    "mlp_bias": False,
    "max_length": 20,
    "tokenizer_class": "LlamaTokenizer",
    "image_token_index": None,
}
"""Keys that published configurations hold beside those of their class, and that change nothing where it is not its."""


OTHERS: dict[str, Any] = {
    "use_sliding_window": True,
    "sliding_window": 3,
    "layer_types": ["sliding_attention"],
    "attention_bias": True,
    "rope_scaling": {"type": "linear", "factor": 2.0},
    "partial_rotary_factor": 0.5,
    "logit_scale": 0.5,
    "logits_scaling": 2.0,
    "embedding_multiplier": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.5,
    "attn_logit_softcapping": 3.0,
    "final_logit_softcapping": 4.0,
    "query_pre_attn_scalar": 5,
    "clip_qkv": 0.5,
    "scale_embedding": True,
    "num_key_value_heads": 1,
    "norm_topk_prob": False,
    "routed_scaling_factor": 2.5,
    "use_qk_norm": True,
    "alibi": True,
    "use_parallel_residual": False,
    "layer_norm_eps": 0.1,
    "rms_norm_eps": 0.1,
    "rope_theta": 50.0,
    "position_embedding_type": "alibi",
    "hidden_activation": "relu",
    "scoring_func": "softmax",
}
"""Keys that change a number where they are a family's, put where they may not be: refused, or as the reference does."""


def rewritten(random: Random, written: dict[str, Any], draw: variant_settings.Draw) -> dict[str, Any]:
    """The same configuration as another version or another tool writes it."""
    found = dict(written)
    if draw.change is not None:  # Written as its makers write it, in one way.
        return found
    if random.random() < 0.4:
        found = golden_older.older_form(found)
    if "text_config" in found:
        found["text_config"] = shortened(random, found["text_config"], type(draw.config.text_config))
    else:
        found = shortened(random, found, type(draw.config))
    for key in random.sample(sorted(HARMLESS), k=random.choice((0, 0, 1, 2))):
        found.setdefault(key, HARMLESS[key])
    if random.random() < 0.15:
        key = random.choice(sorted(OTHERS))
        inner = found.get("text_config", found)
        inner.setdefault(key, OTHERS[key] if key != "layer_types" else OTHERS[key] * inner.get("num_hidden_layers", 1))
    if random.random() < 0.15 and draw.kind == "decoder" and "text_config" not in found:
        found["is_causal"] = random.random() < 0.4
    return found


def shortened(random: Random, found: dict[str, Any], config: Any) -> dict[str, Any]:
    """With keys left out, or null."""
    if random.random() < 0.3:
        defaults = config().to_dict()
        found = {key: value for key, value in found.items() if key == "model_type" or value != defaults.get(key)}
    free = [key for key in sorted(found) if key != "model_type" and not shape_of(key)]
    if random.random() < 0.3:  # A key left out, whatever the value: the reference takes its default.
        for key in random.sample(free, k=min(2, len(free))):
            found.pop(key)
    elif free and random.random() < 0.12:
        empty = {**found, random.choice(free): None}
        with suppress(Exception):  # Not every key may be null there.
            config.from_dict(empty)
            found = empty
    return found


def shape_of(key: str) -> bool:
    """Whether a default of full size would come in the place of a small model's."""
    return key.endswith(
        (
            "_size",
            "_heads",
            "_layers",
            "_dim",
            "_ff",
            "_kv",
            "_model",
            "_embd",
            "_positions",
            "_len",
            "_rank",
            "_bias",
            "_embeddings",
        )
    ) or key in (
        *("n_layer", "n_head", "n_inner", "dim", "head_dim", "layer_types", "num_experts", "num_local_experts"),
        *("no_rope_layers", "rope_parameters", "rope_scaling", "relative_attention_num_buckets", "tie_word_embeddings"),
        *("decoder_start_token_id", "num_experts_per_tok", "mlp_only_layers", "feed_forward_proj"),
        *("n_layers", "n_heads", "n_head_kv", "n_words", "emb_dim", "attention_types", "attn_config", "text_config"),
        *(
            "mamba_d_state",
            "mamba_d_conv",
            "mamba_d_head",
            "mamba_d_ssm",
            "mamba_expand",
            "layers_block_type",
            "expand",
        ),
        *("n_groups", "n_group", "topk_group", "conv_kernel", "mamba_n_groups", "n_routed_experts", "n_shared_experts"),
        *("id2label", "label2id", "architectures"),
        *(
            "first_k_dense_replace",
            "moe_layer_start_index",
            "num_dense_layers",
            "bias",
            "enable_bias",
            "share_att_key",
            "qk_layernorm",
        ),
        *(
            "use_qk_norm",
            "_remove_final_layer_norm",
            "do_layer_norm_before",
            "norm_rel_ebd",
            "sliding_window",
            "use_post_norm",
            "relative_attention",
            "enable_moe_block",
        ),
        *("new_decoder_architecture", "multi_query", "parallel_attn", "vision_config", "attn_layer_period"),
        *("attn_layer_offset", "expert_layer_period", "expert_layer_offset", "chunk_size", "altup_num_inputs"),
    )


def with_head(random: Random, draw: variant_settings.Draw) -> variant_settings.Draw:
    """A decoder with another head, or without any, where the reference has the class."""
    name = draw.model.__name__
    if draw.kind != "decoder" or draw.change is not None or "ForCausalLM" not in name or random.random() < 0.85:
        return draw
    endings = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
    ending = random.choice(endings)
    model = getattr(t, name.replace("ForCausalLM", ending), None)
    if model is None or draw.config.__class__ is not getattr(model, "config_class", None):
        return draw
    if getattr(draw.config, "word_embed_proj_dim", None) not in (None, draw.config.hidden_size):
        return draw  # Whose body ends with the last matrix but one.
    if ending in endings[1:3]:
        draw.config.num_labels = random.choice((1, 2, 5))
    return replace(draw, model=model, kind="encoder" if ending == "Model" else "head")


def eager(draw: variant_settings.Draw) -> dict[str, str]:
    """How the reference computes: Falcon's own attention adds the penalty on distances twice, the other once."""
    distant = draw.config.model_type == "falcon" and draw.config.alibi
    return {**EAGER, "attn_implementation": "sdpa"} if distant else EAGER


def computed_by_reference(model: Any, draw: variant_settings.Draw, given: dict[str, torch.Tensor]) -> np.ndarray:
    """Logits, or the last hidden state of a model without them, of one text."""
    output = model(**given, **({"use_cache": False} if draw.kind == "decoder" else {}))
    if hasattr(output, "start_logits"):
        return np.stack([output.start_logits[0].numpy(), output.end_logits[0].numpy()], axis=-1)
    found: np.ndarray = getattr(output, "last_hidden_state" if draw.kind == "encoder" else "logits")[0].numpy()
    return found


def computed(draw: variant_settings.Draw, model: Model, ids: list[int], target: list[int]) -> np.ndarray:
    if draw.kind == "encoder-decoder":
        return model.logits(model.run(target, cache=model.encode_source(ids)).stream_TD)
    if draw.kind == "read-twice":
        model, prompt = decoder_and_target(model, prompt_of_ids(ids, None, None), None, None)
        ids = prompt.ids
    stream_TD = model.run(ids).stream_TD
    if model.architecture.head is not None:
        return model.label_scores(ids, stream_TD)
    return vectors_at(model, ids, "final") if draw.kind == "encoder" else model.logits(stream_TD)


def saved(
    draw: variant_settings.Draw, folder: Path, random: Random, generator: torch.Generator
) -> tuple[Any, dict[str, Any]]:
    """A model with random weights in a folder, some of which bfloat16 holds, and its configuration as it was saved."""
    model = draw.model(draw.config).eval()
    half = random.random() < 0.1
    make_golden.randomize(model, generator, torch.bfloat16 if half else None)
    (model.to(torch.bfloat16) if half else model).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    return model.to(torch.float32), json.loads((folder / "config.json").read_text())


def texts(
    draw: variant_settings.Draw, model: Any, random: Random, generator: torch.Generator
) -> dict[str, torch.Tensor]:
    most = min(model.config.get_text_config().vocab_size, 40)
    most = min(most, getattr(model.config, "image_token_id", most))
    ids = torch.randint(3, most, (1, random.choice((1, 9, 30))), generator=generator)
    target = torch.randint(3, most, (1, 7), generator=generator)
    if draw.kind == "read-twice":  # Labels are read at an end, and mBART's decoder starts with the last token.
        ids[:, -1] = model.config.eos_token_id
    given = {"input_ids": ids[None] if draw.model.__name__.endswith("MultipleChoice") else ids}
    return given | ({"decoder_input_ids": target} if draw.kind == "encoder-decoder" else {})


def variant(make: Any, seed: int, keep: Path | None, share: float) -> tuple[str, dict[str, str]]:
    """The family and, of its logits and of what more is compared, "right", or what was refused or is wrong; "unknown"
    where the reference itself makes nothing."""
    random, generator = Random(seed), torch.Generator().manual_seed(seed)
    chosen = {name: Random(f"{seed} {name}").random() < share for name in ("inside", "following", "gguf")}
    torch.manual_seed(seed)
    try:
        draw = with_head(random, make(random))
    except Exception as error:
        return make.__name__, {"logits": f"unknown: {type(error).__name__}: {error!s:.200}"}
    with tempfile.TemporaryDirectory(prefix="variant-") as name, torch.no_grad():
        folder = Path(name)
        try:
            model, written = saved(draw, folder, random, generator)
            given = texts(draw, model, random, generator)
            plain = folder / "plain"
            if chosen["gguf"] and draw.kind in ("decoder", "encoder", "encoder-decoder", "masked"):
                plain.mkdir()
                for file in list(folder.glob("*.*")):
                    shutil.copy(file, plain)
                double = draw.model.from_pretrained(plain, dtype=torch.float32, **EAGER).eval()
                with make_golden.in_float64():
                    double = make_golden.exact(double)
            config = rewritten(random, written, draw)
            (folder / "config.json").write_text(json.dumps(config, indent=2))
            single = draw.model.from_pretrained(folder, dtype=torch.float32, **eager(draw)).eval()
            once = computed_by_reference(single, draw, given)
            with make_golden.in_float64():
                exact = make_golden.exact(single)
                wanted = computed_by_reference(exact, draw, given)
            rounding = checks.distance(once, wanted)
            if not rounding < MOST_ROUNDING:
                return draw.family, {"logits": f"unknown: the reference itself is off by {rounding:.1e} in float32"}
            if draw.change is not None:
                changed(draw, folder)
        except Exception as error:
            return draw.family, {"logits": f"unknown: {type(error).__name__}: {error!s:.200}"}
        bound = max(BOUND, 8 * rounding)
        answers = {"logits": judged(lambda: of_logits(draw, folder, given, wanted, bound))}
        if answers["logits"] == "right":
            opened = llminspect.open_model(str(folder))
            alone = opened.architecture.head is None and draw.kind != "encoder" and draw.kind != "read-twice"
            with make_golden.in_float64():
                if (
                    chosen["inside"]
                    and eager(draw) is EAGER  # Else it gives its weights by its own attention alone.
                    and not draw.model.__name__.endswith("MultipleChoice")
                    and draw.kind != "read-twice"
                ):
                    answers["inside"] = judged(lambda: checks.inside((single, exact), opened, given))
                if chosen["following"] and alone and opened.config.causal and opened.config.masking is None:
                    answers["following"] = judged(lambda: checks.following(exact, opened, given))
                if plain.exists() and written.get("model_type") in checks.kinds_in_gguf() and draw.change is None:
                    answers["gguf"] = judged(lambda: checks.in_gguf(double, plain, given, bound, draw.kind))
        if keep is not None and any(answer.startswith("wrong") for answer in answers.values()):
            shutil.copytree(folder, keep / f"{seed}-{draw.family}", dirs_exist_ok=True)
        return draw.family, answers


def read(path: Path) -> dict[str, np.ndarray]:
    return {name: array.to(torch.float32).numpy() for name, array in load_file(path).items()}


def changed(draw: variant_settings.Draw, folder: Path) -> None:
    """The folder as the makers of a kind write it that the reference has no class for."""
    assert draw.change is not None
    path = folder / "model.safetensors"
    config, arrays = draw.change(json.loads((folder / "config.json").read_text()), read(path))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    save_file({key: np.ascontiguousarray(array) for key, array in arrays.items()}, path)


def of_logits(
    draw: variant_settings.Draw, folder: Path, given: dict[str, torch.Tensor], wanted: np.ndarray, bound: float
) -> str:
    ids = given["input_ids"].reshape(-1).tolist()
    found = computed(
        draw, llminspect.open_model(str(folder)), ids, given.get("decoder_input_ids", given["input_ids"])[0].tolist()
    )
    if found.shape != wanted.shape and found.size == wanted.size:
        found = found.reshape(wanted.shape)  # One label of a token has no axis there.
    return checks.compared(found, wanted, bound)


def judged(answer: Callable[[], str]) -> str:
    try:
        return answer()
    except UserError as error:
        return f"refused: {error} {error.hint or ''}".strip()
    except Exception as error:
        return f"wrong: {type(error).__name__}: {error}"


COLUMNS = ("right", "refused", "wrong", "unknown")
MORE = ("inside", "following", "gguf")


def table(counts: Counter[tuple[str, str, str]]) -> list[str]:
    """By family, in Markdown: the answers about logits, and of what more was compared how much is right."""
    lines = [f"| family | {' | '.join((*COLUMNS, *MORE))} |", "|---" + "|---:" * (len(COLUMNS) + len(MORE)) + "|"]
    for family in [*sorted({name for name, _, _ in counts}), "all"]:
        rows = {key: value for key, value in counts.items() if family in (key[0], "all")}

        def number(part: str, answer: str | None, rows: dict[Any, int] = rows) -> int:
            return sum(value for (_, its, one), value in rows.items() if its == part and answer in (one, None))

        cells = [str(number("logits", answer)) for answer in COLUMNS]
        cells += [f"{number(part, 'right')} of {number(part, None) - number(part, 'unknown')}" for part in MORE]
        lines.append(f"| {family} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500, help="how many variants; the families take turns")
    parser.add_argument("--seed", type=int, default=0, help="of the first; each after it has the next")
    parser.add_argument("--family", nargs="+", help="these drawings alone")
    parser.add_argument("--share", type=float, default=0.1, help="of how many more than the logits is compared")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="holds the folders of those that are wrong")
    parser.add_argument("--table", type=Path, metavar="FILE", help="counts by family, in Markdown")
    options = parser.parse_args()
    set_verbosity_error()
    disable_progress_bar()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    every = [make for module in MODULES for make in module.FAMILIES]
    families = [make for make in every if not options.family or make.__name__ in options.family]
    counts: Counter[tuple[str, str, str]] = Counter()
    for seed in range(options.seed, options.seed + options.count):
        family, answers = variant(families[seed % len(families)], seed, options.keep, options.share)
        for part, answer in answers.items():
            counts[family, part, answer.split(":")[0]] += 1
            if answer != "right":
                print(f"{seed} {family} {part}: {answer}", flush=True)
    lines = table(counts)
    print("\n" + "\n".join(lines if options.count > 1 else lines[-1:]))
    if options.table is not None:
        options.table.write_text("\n".join(lines) + "\n")
    sys.exit(any(answer == "wrong" for _, _, answer in counts))


if __name__ == "__main__":
    main()
