"""Small well-formed models, tokenizers and configurations for the fuzzers to start from."""

from __future__ import annotations

import json
import struct
from functools import cache
from pathlib import Path
from typing import Any

from llminspect.text.bpe import BYTE_ALPHABET
from tests.files.gguf_writer import GGUF, Tensor

GOLDEN = Path(__file__).parent.parent / "golden"
TEXT = "Hello wörld 12\n<s> a\x00\u202e b"
CHAT = "{% for message in messages %}<|{{ message.role }}|>{{ message['content'] | trim }}\n{% endfor %}"


def floats(*shape: int) -> Tensor:
    """A tensor without a name, of small numbers that differ."""
    count = 1
    for length in shape:
        count *= length
    numbers = [((7 * i) % 13 - 6) / 10 for i in range(count)]
    return Tensor("", shape, struct.pack(f"<{count}f", *numbers))


def llama(tokenizer: list[tuple[str | bytes, Any]], vocabulary: int, layers: int = 1) -> GGUF:
    """A llama of width 8 with the tokenizer that the metadata gives."""
    metadata: list[tuple[str | bytes, Any]] = [
        ("general.architecture", "llama"),
        ("general.name", "tiny"),
        ("llama.block_count", layers),
        ("llama.embedding_length", 8),
        ("llama.feed_forward_length", 12),
        ("llama.attention.head_count", 2),
        ("llama.attention.head_count_kv", 1),
        ("llama.attention.layer_norm_rms_epsilon", 1e-5),
        ("llama.context_length", 64),
        ("llama.rope.freq_base", 10000.0),
        ("llama.rope.dimension_count", 4),
        *tokenizer,
    ]
    shapes: dict[str, tuple[int, ...]] = {"token_embd.weight": (vocabulary, 8), "output_norm.weight": (8,)}
    for i in range(layers):
        block = {"attn_norm": (8,), "attn_q": (8, 8), "attn_k": (4, 8), "attn_v": (4, 8), "attn_output": (8, 8)}
        block |= {"ffn_norm": (8,), "ffn_gate": (12, 8), "ffn_up": (12, 8), "ffn_down": (8, 12)}
        shapes |= {f"blk.{i}.{name}.weight": shape for name, shape in block.items()}
    tensors = [Tensor(name, shape, floats(*shape).data) for name, shape in shapes.items()]
    return GGUF(metadata, tensors)


def vocabulary(kind: str, extra: list[str] | None = None) -> list[tuple[str | bytes, Any]]:
    """The tokenizer's metadata of one of the four kinds; `extra` are further tokens."""
    prefix = "tokenizer.ggml."
    specials = ["<unk>", "<s>", "</s>"] if kind != "bert" else ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]"]
    letters = {
        "gpt2": [*BYTE_ALPHABET, "He", "ll", "llo", "Ġa", "Ġb"],
        "llama": [*(f"<0x{byte:02X}>" for byte in range(256)), "▁", "H", "e", "l", "o", "He", "ll", "▁a"],
        "t5": ["▁", "H", "e", "l", "o", "He", "ll", "▁a", "b"],
        "bert": ["▁hello", "▁a", "b", "▁b", "ll", "▁h", "e", "l", "o", "▁1", "2"],
    }[kind]
    tokens = [*specials, *letters, *(extra or [])]
    kinds = [2 if token in ("<unk>", "[UNK]") else 3 if token in specials else 1 for token in tokens]
    if kind == "llama":
        kinds = [6 if token.startswith("<0x") else kind_ for token, kind_ in zip(tokens, kinds, strict=True)]
    found: list[tuple[str | bytes, Any]] = [
        (f"{prefix}model", kind),
        (f"{prefix}tokens", tokens),
        (f"{prefix}token_type", [("i", kind_) for kind_ in kinds]),
        (f"{prefix}bos_token_id", 1),
        (f"{prefix}eos_token_id", 2),
        (f"{prefix}unknown_token_id", 0),
        (f"{prefix}add_bos_token", kind == "llama"),
        ("tokenizer.chat_template", CHAT),
    ]
    if kind == "gpt2":
        found += [(f"{prefix}pre", "llama-bpe"), (f"{prefix}merges", ["H e", "l l", "ll o", "Ġ a", "Ġ b"])]
    if kind in ("llama", "t5"):
        found += [(f"{prefix}scores", [-float(i) for i in range(len(tokens))])]
    if kind == "t5":
        found += [(f"{prefix}precompiled_charsmap", [("B", byte) for byte in _charsmap()])]
    return found


def _charsmap() -> bytes:
    """A trie of two units in which nothing is replaced."""
    return struct.pack("<3I", 8, 0, 0) + b"x\0"


@cache
def gguf_files() -> list[GGUF]:
    """A llama with each kind of tokenizer."""
    found = []
    for kind in ("gpt2", "llama", "t5", "bert"):
        keys = vocabulary(kind)
        found.append(llama(keys, len(dict(keys)["tokenizer.ggml.tokens"])))
    return found


@cache
def configs() -> list[tuple[str, dict[str, Any]]]:
    """The configurations of every family's golden model, in both their spellings, and the model's folder."""
    return [
        (path.parent.name, json.loads(path.read_bytes()))
        for path in sorted(GOLDEN.glob("*/config*.json"))
        if list(path.parent.glob("*.safetensors"))
    ]


@cache
def tokenizer_files() -> list[dict[str, Any]]:
    """tokenizer.json of each kind of model, with many of the parts that a pipeline may have."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    letters = [*BYTE_ALPHABET, "He", "ll", "llo"]
    ids = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *letters])}
    words = {token: i for i, token in enumerate(["[UNK]", "[CLS]", "[SEP]", "hello", "##ll", "a", "##b", "1", "2"])}
    byte_level = Tokenizer(models.BPE(ids, [("H", "e"), ("l", "l"), ("ll", "o")]))
    byte_level.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(pattern="\\d", behavior="isolated"),
            pre_tokenizers.Digits(True),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    byte_level.decoder = decoders.ByteLevel()
    byte_level.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)]
    )
    fallback = Tokenizer(models.BPE(ids, [("H", "e")], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    fallback.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    fallback.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    bert = Tokenizer(models.WordPiece(words, unk_token="[UNK]"))
    bert.normalizer, bert.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    bert.decoder = decoders.WordPiece()
    bert.post_processor = processors.BertProcessing(("[SEP]", 2), ("[CLS]", 1))
    unigram = Tokenizer(models.Unigram([("<unk>", 0.0), ("▁", -1.0), ("a", -2.0), ("l", -2.0)], unk_id=0))
    unigram.pre_tokenizer, unigram.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    unigram.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.StripAccents(), normalizers.Lowercase()])
    level = Tokenizer(models.WordLevel({"[UNK]": 0, "a": 1}, unk_token="[UNK]"))
    level.pre_tokenizer = pre_tokenizers.Whitespace()
    for tokenizer in (byte_level, fallback, bert, unigram, level):
        tokenizer.add_special_tokens([AddedToken("<|im_end|>", special=True), AddedToken("<x>", lstrip=True)])
    return [json.loads(tokenizer.to_str()) for tokenizer in (byte_level, fallback, bert, unigram, level)]


TOKENIZER_CONFIG: dict[str, Any] = {
    "bos_token": {"content": "<s>", "lstrip": False, "special": True},
    "eos_token": "</s>",
    "unk_token": "<unk>",
    "mask_token": "[MASK]",
    "eos_token_id": [1, 2],
    "add_prefix_space": False,
    "do_lower_case": True,
    "model_max_length": 1024,
    "chat_template": [{"name": "default", "template": CHAT}],
}
