"""Record the scores of edges that PyTorch's autograd finds on golden models: `tests/golden/circuits.npz`.

    cd tools && PYTHONPATH=.. python record_circuits.py

Needs torch and transformers (the extra `golden`). Each reader of a stream (the query, the key and the value of each
head, each feed-forward step, the logits) reads a copy of its own, by which autograd gives the slope. The score of an
edge is the sum over positions of (what the writer gives in the clean text − in the corrupt one) · slope: EAP with the
slope in the clean text, EAP-IG with the mean over steps from the corrupt embedding to the clean one (Hanna et al. 2024,
"Have Faith in Faithfulness"). Everything is computed in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import transformers as t
from make_golden import exact, in_float64
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from tests.drawn import make_all
from tests.model.golden import FOLDER

CASES = {"llama": t.LlamaForCausalLM, "gpt2": t.GPT2LMHeadModel}
CLEAN, CORRUPT, ANSWERS, STEPS = [3, 1, 4, 1, 5, 2], [3, 1, 6, 1, 5, 2], (5, 9), 5


class Llama:
    """The modules of a llama, a head at a time."""

    def __init__(self, model: Any) -> None:
        self.model, self.layers, self.heads = model, model.model.layers, model.config.num_attention_heads

    def embedded(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model.model.embed_tokens(ids)

    def part(self, layer: Any, name: str, head: int, x_TD: torch.Tensor) -> torch.Tensor:
        attention, width = layer.self_attn, layer.self_attn.head_dim
        head = head if name == "q" else head // attention.num_key_value_groups
        made_TE = getattr(attention, f"{name}_proj")(layer.input_layernorm(x_TD))[:, head * width : (head + 1) * width]
        if name == "v":
            return made_TE
        cos, sin = self.model.model.rotary_emb(made_TE, torch.arange(len(made_TE))[None])
        return apply_rotary_pos_emb(made_TE[None, None], made_TE[None, None], cos, sin)[0][0, 0]

    def out(self, layer: Any, head: int, mixed_TE: torch.Tensor) -> torch.Tensor:
        width = mixed_TE.shape[1]
        return mixed_TE @ layer.self_attn.o_proj.weight[:, head * width : (head + 1) * width].T

    def constant(self, layer: Any) -> torch.Tensor | float:
        return 0.0

    def fed(self, layer: Any, x_TD: torch.Tensor) -> torch.Tensor:
        return layer.mlp(layer.post_attention_layernorm(x_TD))

    def logits(self, x_TD: torch.Tensor) -> torch.Tensor:
        return self.model.lm_head(self.model.model.norm(x_TD))


class Gpt2(Llama):
    """The same of GPT-2: fused queries, keys and values, layer norms, biases."""

    def __init__(self, model: Any) -> None:
        self.model, self.layers, self.heads = model, model.transformer.h, model.config.n_head

    def embedded(self, ids: torch.Tensor) -> torch.Tensor:
        return self.model.transformer.wte(ids) + self.model.transformer.wpe(torch.arange(len(ids)))

    def part(self, layer: Any, name: str, head: int, x_TD: torch.Tensor) -> torch.Tensor:
        fused_TE = layer.attn.c_attn(layer.ln_1(x_TD))
        return fused_TE.chunk(3, -1)["qkv".index(name)].chunk(self.heads, -1)[head]

    def out(self, layer: Any, head: int, mixed_TE: torch.Tensor) -> torch.Tensor:
        return mixed_TE @ layer.attn.c_proj.weight.chunk(self.heads, 0)[head]

    def constant(self, layer: Any) -> torch.Tensor:
        return layer.attn.c_proj.bias

    def fed(self, layer: Any, x_TD: torch.Tensor) -> torch.Tensor:
        return layer.mlp(layer.ln_2(x_TD))

    def logits(self, x_TD: torch.Tensor) -> torch.Tensor:
        return self.model.lm_head(self.model.transformer.ln_f(x_TD))


def run(model: Llama, first_TD: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor], list[torch.Tensor]]:
    """The difference of the two logits, what each writer gives, and what each reader reads: each of a copy."""
    written, read = [first_TD], []

    def copy(stream_TD: torch.Tensor) -> torch.Tensor:
        read.append(stream_TD + torch.zeros_like(stream_TD, requires_grad=True))
        read[-1].retain_grad()
        return read[-1]

    stream_TD = first_TD
    hidden_TT = torch.full((len(first_TD), len(first_TD)), float("-inf")).triu(1)
    for layer in model.layers:
        made = {name: [model.part(layer, name, head, copy(stream_TD)) for head in range(model.heads)] for name in "qkv"}
        before_TD = stream_TD
        for head, (q_TE, k_TE, v_TE) in enumerate(zip(*made.values(), strict=True)):
            weights_TT = (q_TE @ k_TE.T / q_TE.shape[1] ** 0.5 + hidden_TT).softmax(-1)
            written.append(model.out(layer, head, weights_TT @ v_TE))
            before_TD = before_TD + written[-1]
        stream_TD = before_TD + model.constant(layer)
        written.append(model.fed(layer, copy(stream_TD)))
        stream_TD = stream_TD + written[-1]
    logits_V = model.logits(copy(stream_TD))[-1]
    return logits_V[ANSWERS[0]] - logits_V[ANSWERS[1]], written, read


def scores(model: Llama) -> dict[str, np.ndarray[Any, Any]]:
    """Of both methods every edge [R, U]; 0 where the writer comes after the reader. `difference`: clean, corrupt."""
    ends = [model.embedded(torch.tensor(ids)).detach() for ids in (CLEAN, CORRUPT)]
    clean, corrupt = (run(model, end_TD) for end_TD in ends)
    for (value, _, _), ids in ((clean, CLEAN), (corrupt, CORRUPT)):
        logits_V = model.model(torch.tensor([ids])).logits[0, -1]
        assert torch.allclose(value, logits_V[ANSWERS[0]] - logits_V[ANSWERS[1]], rtol=1e-9)
    change_UTD = torch.stack(clean[1]).detach() - torch.stack(corrupt[1]).detach()
    found = {"difference": np.array([clean[0].item(), corrupt[0].item()])}
    for method, steps in (("EAP", 1), ("EAP-IG", STEPS)):
        total_RU = 0
        for step in range(1, steps + 1):
            value, _, read = run(model, ends[1] + (ends[0] - ends[1]) * step / steps)
            value.backward()
            slope_RTD = torch.stack([each.grad for each in read])
            total_RU = total_RU + torch.einsum("rtd,utd->ru", slope_RTD, change_UTD)
        found[method] = (total_RU / steps * possible(model)).numpy()
    return found


def possible(model: Llama) -> torch.Tensor:
    """Which writers come before each reader."""
    before = []
    for layer in range(len(model.layers)):
        first = 1 + layer * (model.heads + 1)
        before += [first] * (3 * model.heads) + [first + model.heads]
    before.append(1 + len(model.layers) * (model.heads + 1))
    return torch.arange(before[-1]) < torch.tensor(before)[:, None]


if __name__ == "__main__":
    make_all()
    kinds = {"llama": Llama, "gpt2": Gpt2}
    plain = {name: kind.from_pretrained(FOLDER / name, attn_implementation="eager") for name, kind in CASES.items()}
    with in_float64():
        every = {
            f"{name}/{key}": value for name in CASES for key, value in scores(kinds[name](exact(plain[name]))).items()
        }
    np.savez_compressed(FOLDER / "circuits.npz", **every)
