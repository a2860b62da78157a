"""The same weights for the peers: the GGUF file's numbers as safetensors, with configuration and tokenizer."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from llminspect.files.locate import Located
    from llminspect.model.opened import Description


def make_folder(name: str, folder: Path) -> Path:
    """Write what transformers opens as a llama model, if it is not there yet."""
    import numpy as np
    from safetensors.numpy import save_file

    from llminspect.opening import describe_model, open_model

    if (folder / "tokenizer.json").exists():
        return folder
    folder.mkdir(parents=True, exist_ok=True)
    described, model = describe_model(name, offline=True), open_model(name, offline=True)
    arrays = {
        str(spec.huggingface): np.ascontiguousarray(model.params[spec.name])
        for spec in described.specs
        if spec.name in model.params
    }
    save_file(arrays, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(_configuration(described)))
    assert described.located is not None
    write_tokenizer(described.located, folder)
    return folder


def encodings_folder(scratch: Path) -> Path:
    """OpenAI's tables where tiktoken looks for what it once downloaded, so that no peer needs the network."""
    from llminspect.files.encodings import rank_table
    from tools.pack_encodings import as_published

    folder = scratch / "tiktoken"
    folder.mkdir(exist_ok=True)
    for name in ("o200k_base", "cl100k_base"):
        url = f"https://openaipublic.blob.core.windows.net/encodings/{name}.tiktoken"
        place = folder / hashlib.sha1(url.encode()).hexdigest()
        if not place.exists():
            place.write_bytes(as_published(rank_table(name)))
    return folder


def _configuration(described: Description) -> dict[str, Any]:
    sizes, config = described.config.sizes, described.config
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "vocab_size": sizes.V,
        "hidden_size": sizes.D,
        "intermediate_size": sizes.F,
        "num_hidden_layers": sizes.L,
        "num_attention_heads": sizes.H,
        "num_key_value_heads": sizes.K,
        "head_dim": sizes.E,
        "max_position_embeddings": sizes.context,
        "rms_norm_eps": config.norm_epsilon,
        "rope_theta": config.rotary.base,  # type: ignore[union-attr]
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "torch_dtype": "float32",
    }


def write_tokenizer(located: Located, folder: Path) -> None:
    """`tokenizer.json` with the vocabulary and the merges of a GGUF file whose pre-tokenizer is `smollm`."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    words = located.config["tokenizer.ggml.tokens"]
    merges = [tuple(merge.split(" ")) for merge in located.config["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE({word: index for index, word in enumerate(words)}, merges))
    digits = pre_tokenizers.Digits(individual_digits=True)
    bytewise = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([digits, bytewise])
    tokenizer.decoder = decoders.ByteLevel()
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer.save(str(folder / "tokenizer.json"))


if __name__ == "__main__":
    make_folder(sys.argv[1], Path(sys.argv[2]))
