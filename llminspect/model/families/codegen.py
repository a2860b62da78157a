"""CodeGen: GPT-J with the matrices of queries, values and keys fused in quarters.

Nijkamp et al. 2022, "CodeGen: An Open Large Language Model for Code with Multi-Turn Program Synthesis", section 2.2.
"""

from __future__ import annotations

from dataclasses import replace

from llminspect.core.array import Array
from llminspect.model.copies import Copy, causal_rule
from llminspect.model.families import gptj
from llminspect.model.settings import Settings
from llminspect.model.spec import TensorSpec

QUARTERS = 4
"""On as many devices the published models were trained; each wrote its rows by itself."""
PLACES = {"query": 0, "value": 1, "key": 2}


def from_huggingface(settings: Settings) -> gptj.GPTJConfig:
    found = gptj.from_huggingface(settings)
    if found.sizes.D % QUARTERS:
        raise settings.wrong("n_embd", f"a multiple of {QUARTERS}")
    return found


def tensors(config: gptj.GPTJConfig) -> list[TensorSpec]:
    return [_fused(spec) for spec in gptj.tensors(config)]


def _fused(spec: TensorSpec) -> TensorSpec:
    part = spec.name.removesuffix(".weight").rpartition(".")[2]
    if not spec.name.endswith(f"attention.{part}.weight") or part not in PLACES:
        return spec

    def cut(array: Array, config: gptj.GPTJConfig) -> Array:
        width = config.sizes.D
        return array.reshape(QUARTERS, 3, width // QUARTERS, width)[:, PLACES[part]].reshape(width, width)

    assert isinstance(spec.huggingface, str)
    return replace(spec, huggingface=spec.huggingface.replace(f"{part[0]}_proj", "qkv_proj"), huggingface_fix=cut)


ARCHITECTURE = replace(
    gptj.ARCHITECTURE,
    name="codegen",
    model_types=("codegen",),
    read_huggingface=from_huggingface,
    tensors=tensors,
    ignored=(Copy("h.*.attn.causal_mask", agrees=causal_rule),),
)
