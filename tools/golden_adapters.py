"""Make the golden adapters: LoRA by PEFT on golden models, and what the reference computes with them merged.

    PYTHONPATH=. python tools/golden_adapters.py tests/golden [adapter ...]

A folder an adapter in `tests/golden/adapters`: its two files as PEFT saves them, and `expected.npz` with the ids and
the logits, computed in float64.
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import peft
import torch
import transformers
from golden_exact import exact, in_float64
from variant_computed import EAGER

from tests.drawn import make_all

LLAMA, GPT2, BERT = transformers.LlamaForCausalLM, transformers.GPT2LMHeadModel, transformers.BertForMaskedLM
ALBERT, DEBERTA, GPTJ = transformers.AlbertForMaskedLM, transformers.DebertaV2ForMaskedLM, transformers.GPTJForCausalLM
ADAPTERS: dict[str, tuple[str, Any, dict[str, Any]]] = {
    "llama": (
        "llama",
        LLAMA,
        {
            "r": 3,
            "lora_alpha": 7,
            "target_modules": ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"],
            "rank_pattern": {"q_proj": 5, r"layers\.1\.mlp\.down_proj": 2},
            "alpha_pattern": {"o_proj": 11, r"layers.[02].self_attn.v_proj": 2.5},
        },
    ),
    "llama-regex": (
        "llama",
        LLAMA,
        {
            "r": 4,
            "lora_alpha": 3,
            "use_rslora": True,
            "target_modules": r".*layers\.[02]\.(self_attn\.[qv]|mlp\.up)_proj",
        },
    ),
    "llama-ends": ("llama", LLAMA, {"r": 2, "lora_alpha": 5, "target_modules": ["embed_tokens", "lm_head"]}),
    "gpt2": (
        "gpt2",
        GPT2,
        {"r": 3, "lora_alpha": 4, "fan_in_fan_out": True, "target_modules": ["c_attn", "c_proj", "c_fc"]},
    ),
    "albert": (
        "albert",
        ALBERT,
        {"r": 2, "lora_alpha": 3, "target_modules": ["query", "ffn", "dense", "embedding_hidden_mapping_in"]},
    ),
    "deberta": (
        "deberta",
        DEBERTA,
        {"r": 2, "lora_alpha": 6, "use_rslora": True, "target_modules": ["query_proj", "key_proj", "dense"]},
    ),
    "gptj": ("gptj", GPTJ, {"r": 2, "lora_alpha": 3, "target_modules": ["v_proj", "fc_in", "lm_head"]}),
    "bert": ("bert", BERT, {"r": 2, "lora_alpha": 8, "target_modules": "all-linear"}),
    "gpt-oss": (
        "gpt-oss",
        transformers.GptOssForCausalLM,
        {
            "r": 2,
            "lora_alpha": 5,
            "target_modules": ["o_proj"],
            "target_parameters": ["experts.down_proj", "experts.gate_up_proj", "router.weight"],
            "rank_pattern": {r".*\.gate_up_proj": 3},
            "alpha_pattern": {r"layers\.1\.mlp\.router\.weight": 9},
        },
    ),
    "mixtral": (
        "mixtral",
        transformers.MixtralForCausalLM,
        {"r": 2, "lora_alpha": 3, "use_rslora": True, "target_modules": [], "target_parameters": ["gate_up_proj"]},
    ),
    "granitemoe": (
        "granitemoe",
        transformers.GraniteMoeSharedForCausalLM,
        {"r": 2, "lora_alpha": 40, "target_modules": [], "target_parameters": ["experts.down_proj"]},
    ),
}
"""By name: the golden model, its class, and what is said of the adapter."""


def make(name: str, golden: Path) -> None:
    base, kind, message = ADAPTERS[name]
    folder = golden / "adapters" / name
    shutil.rmtree(folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(len(name))
    model = kind.from_pretrained(golden / base, dtype=torch.float32).eval()
    adapted = peft.get_peft_model(model, peft.LoraConfig(**message))
    with torch.no_grad():
        for key, tensor in adapted.named_parameters():
            if "lora_" in key:
                tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.7 / tensor.shape[-1] ** 0.5)
    # With both ends as they are, as PEFT writes what changes one: their bias too.
    adapted.save_pretrained(folder, save_embedding_layers=base == "gptj")
    (folder / "README.md").unlink(missing_ok=True)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = base
    if isinstance(message["target_modules"], list):
        config["target_modules"] = sorted(config["target_modules"])
    (folder / "adapter_config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")
    ids = np.load(golden / base / "expected.npz")["ids"]
    model = kind.from_pretrained(golden / base, dtype=torch.float32, **EAGER)
    # What is written is loaded again: that is what a user opens.
    merged = peft.PeftModel.from_pretrained(model.double(), folder).double().merge_and_unload().eval()
    with torch.no_grad(), in_float64():
        logits = exact(merged)(input_ids=torch.tensor(ids)[None]).logits[0].numpy()
    before = np.load(golden / base / "expected.npz")["logits"]
    np.savez_compressed(folder / "expected.npz", ids=ids, logits=logits)
    far = np.linalg.norm(logits - before) / np.linalg.norm(before)
    size = sum(file.stat().st_size for file in folder.iterdir()) / 1000
    print(f"{name}: {size:.0f} kB, the logits change by {far:.2f} of their size")


def main(arguments: list[str]) -> None:
    make_all(Path(arguments[0]))
    for name in arguments[1:] or ADAPTERS:
        make(name, Path(arguments[0]))


if __name__ == "__main__":
    main(sys.argv[1:])
