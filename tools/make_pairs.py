"""Record what the reference computes for pairs of texts, for pooled vectors, and for texts longer than the context.

    PYTHONPATH=. python tools/make_pairs.py tests/golden

Needs torch and transformers (the extra `golden`), and the golden models. Pairs: transformers' tokenizer and model.
Pooled vectors: the definitions of sentence-transformers' modules Pooling, Dense and Normalize, written out here on what
transformers' model gives. Longer texts: logits after more tokens than `max_position_embeddings`, and tokens chosen
greedily with the cache. Everything is computed and written in float64.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import tokenizers
import torch
import transformers as t
from golden_exact import exact, in_float64, stacked
from tokenizers import models, pre_tokenizers, processors

from tests.drawn import make_all

WORDS = ["[PAD]", "<pad>", "[CLS]", "[SEP]", *(f"w{number}" for number in range(127))]
FIRST, SECOND = "w3 w14 w15 w92", "w65 w35 w89 w79 w32 w38"
BERT_LIKE = {
    "single": "[CLS] $A [SEP]",
    "pair": "[CLS] $A [SEP] $B:1 [SEP]:1",
    "special_tokens": [("[CLS]", 2), ("[SEP]", 3)],
}
PAIRS = {
    "bert": (t.BertForMaskedLM, processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))),
    "roberta": (t.RobertaForMaskedLM, processors.RobertaProcessing(("[SEP]", 3), ("[CLS]", 2))),
    "distilbert": (t.DistilBertForMaskedLM, processors.TemplateProcessing(**BERT_LIKE)),
}
SWITCHES = "cls_token max_tokens mean_tokens mean_sqrt_len_tokens weightedmean_tokens lasttoken".split()
POOLED: dict[str, dict[str, Any]] = {
    **{switch: {"switches": [switch]} for switch in SWITCHES},
    "mean, normalized": {"switches": ["mean_tokens"], "normalize": True},
    "several": {"switches": ["lasttoken", "mean_tokens", "cls_token", "weightedmean_tokens"]},
    "all": {"switches": SWITCHES, "normalize": True},
    "dense": {"switches": ["mean_tokens"], "dense": "torch.nn.modules.activation.Tanh", "normalize": True},
    "dense, nothing after it": {"switches": ["cls_token"], "dense": "torch.nn.modules.linear.Identity"},
    "dense, gelu": {"switches": ["max_tokens"], "dense": "torch.nn.modules.activation.GELU"},
}
BEYOND = {
    "llama": (t.LlamaForCausalLM, 60),
    "llama-dynamic": (t.LlamaForCausalLM, 18),
    "llama-yarn": (t.LlamaForCausalLM, 60),
    "gemma3": (t.Gemma3ForCausalLM, 60),
    "gpt-neox": (t.GPTNeoXForCausalLM, 60),
}
"""The model, and how long the prompt is of which the text goes on past its context."""


def opened(kind: Any, folder: Path) -> Any:
    return kind.from_pretrained(folder, attn_implementation="eager")


def pair(model: Any, processor: Any) -> tuple[dict[str, Any], str]:
    library = tokenizers.Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(WORDS)}, unk_token="[PAD]")
    )
    library.pre_tokenizer = pre_tokenizers.Whitespace()
    library.add_special_tokens(WORDS[:4])
    library.post_processor = processor
    given = t.PreTrainedTokenizerFast(tokenizer_object=library)(
        FIRST, SECOND, return_tensors="pt", return_token_type_ids=True
    )
    model = exact(model)
    segments = given["token_type_ids"]
    more = {"token_type_ids": segments} if getattr(model.config, "type_vocab_size", 0) > 1 else {}
    output = model(input_ids=given["input_ids"], output_attentions=True, output_hidden_states=True, **more)
    values = {"ids": given["input_ids"][0], "segments": segments[0], "logits": output.logits[0]}
    found = {name: value.numpy() for name, value in values.items()}
    found |= {"attentions": stacked(output.attentions), "hidden": stacked(output.hidden_states)}
    return found, library.to_str()


def pooled(tokens_TD: torch.Tensor, case: dict[str, Any], weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """sentence-transformers' Pooling.forward for one text without padding, then Dense, then Normalize."""
    count = torch.arange(1, len(tokens_TD) + 1).double()[:, None]
    every = {
        "cls_token": tokens_TD[0],
        "max_tokens": tokens_TD.max(0)[0],
        "mean_tokens": tokens_TD.sum(0) / len(tokens_TD),
        "mean_sqrt_len_tokens": tokens_TD.sum(0) / torch.sqrt(torch.tensor(float(len(tokens_TD))).double()),
        "weightedmean_tokens": (tokens_TD * count).sum(0) / count.sum(),
        "lasttoken": tokens_TD[-1],
    }
    vector = torch.cat([value for switch, value in every.items() if switch in case["switches"]])
    if "dense" in case:
        activation = getattr(torch.nn, case["dense"].rpartition(".")[2])()
        vector = activation(torch.nn.functional.linear(vector, weight, bias))
    return torch.nn.functional.normalize(vector, p=2, dim=0) if case.get("normalize") else vector


def sentences(model: Any) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(5)
    model = exact(model)
    ids = torch.randint(3, 131, (1, 11), generator=generator)
    tokens_TD = model(input_ids=ids).last_hidden_state[0]
    weight = torch.randn((20, tokens_TD.shape[1]), generator=generator).float().double() / 6
    bias = torch.randn(20, generator=generator).float().double()
    found = {name: pooled(tokens_TD, case, weight, bias).numpy() for name, case in POOLED.items()}
    return {"ids": ids[0].numpy(), "weight": weight.numpy(), "bias": bias.numpy(), **found}


def beyond(plain: Any, start: int) -> dict[str, Any]:
    ids = torch.randint(3, 131, (1, 90), generator=torch.Generator().manual_seed(9))
    last_V = exact(plain)(input_ids=ids, use_cache=False).logits[0, -1]
    # Rotations that hang on the length are kept from pass to pass: a new model for a new text.
    model = exact(plain)
    chosen, new, kept = [], ids[:, :start], None
    for _ in range(12):
        output = model(input_ids=new, past_key_values=kept, use_cache=True)
        kept, new = output.past_key_values, output.logits[:, -1].argmax(-1)[:, None]
        chosen.append(int(new))
    return {"ids": ids[0].numpy(), "logits": last_V.numpy(), "prompt": np.array(start), "greedy": np.array(chosen)}


def main(golden: Path) -> None:
    make_all(golden)

    def write(name: str, found: dict[str, dict[str, Any]]) -> None:
        arrays = {f"{of}/{key}": value for of, values in found.items() for key, value in values.items()}
        np.savez_compressed(golden / f"{name}.npz", **arrays)
        print(f"{name}: {(golden / f'{name}.npz').stat().st_size / 1000:.0f} kB")

    plain = {name: opened(kind, golden / name) for name, (kind, _) in {**PAIRS, **BEYOND}.items()}
    encoder = opened(t.BertModel, golden / "bert-encoder")
    with torch.no_grad(), in_float64():
        pairs, texts = {}, {}
        for name, (_, processor) in PAIRS.items():
            pairs[name], texts[name] = pair(plain[name], processor)
        write("pairs", pairs)
        (golden / "pairs.json").write_text(json.dumps({"texts": [FIRST, SECOND], "tokenizers": texts}) + "\n")
        write("pooled", {"bert-encoder": sentences(encoder)})
        (golden / "pooled.json").write_text(json.dumps(POOLED, indent=1) + "\n")
        write("beyond", {name: beyond(plain[name], start) for name, (_, start) in BEYOND.items()})


if __name__ == "__main__":
    main(Path(sys.argv[1]))
