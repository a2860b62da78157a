"""A text to train small tokenizers on, and tokenizers trained on it by the `tokenizers` library."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

import tokenizers
from tokenizers import decoders, models, normalizers, pre_tokenizers, processors, trainers

CORPUS = (
    "Alice gave Bob her book. The book was about whales, the whale hunters and the whaling ships of 1851. "
    "Bob read it twice: once by day, once by night. Naïve readers at the café said “hélas”, but Bob didn't. "
    "Shipping lists, listed ships, unlisted shippers. 日本語 のテキスト と English の 混在. Привет, мир! Hello, world! "
    "The other mother gathers feathers there; another brother bothers to gather rather than to bathe. "
)
BYTES = [f"<0x{value:02X}>" for value in range(256)]


@cache
def sentencepiece_bpe() -> tokenizers.Tokenizer:
    """Characters, ▁ for a space and one in front, byte fallback, merges in order: what Llama's tokenizer is."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trained.train_from_iterator([CORPUS], trainers.BpeTrainer(vocab_size=260, show_progress=False))
    state = json.loads(trained.to_str())["model"]
    # Characters can be missing from the vocabulary: that is what byte fallback is for.
    kept = [token for token in sorted(state["vocab"], key=state["vocab"].__getitem__) if not set(token) & set("語мW")]
    vocabulary = {token: i for i, token in enumerate(["<unk>", "<s>", "</s>", *BYTES, *kept])}
    merges = [(left, right) for left, right in state["merges"] if left in vocabulary and right in vocabulary]
    result = tokenizers.Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", byte_fallback=True))
    result.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    result.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    return result


@cache
def unigram() -> tokenizers.Tokenizer:
    """A ▁ in front of each word, no byte fallback: what T5's tokenizer is."""
    trained = tokenizers.Tokenizer(models.Unigram())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    trainer = trainers.UnigramTrainer(
        vocab_size=220, special_tokens=["<pad>", "</s>", "<unk>"], unk_token="<unk>", show_progress=False
    )
    trained.train_from_iterator([CORPUS.replace("語", "")], trainer)
    return trained


@cache
def wordpiece(lowercase: bool) -> tokenizers.Tokenizer:
    """[CLS] in front, [SEP] after: what BERT's tokenizer is."""
    trained = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    trained.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    trained.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trained.train_from_iterator(
        [CORPUS], trainers.WordPieceTrainer(vocab_size=250, special_tokens=special, show_progress=False)
    )
    trained.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    trained.decoder = decoders.WordPiece()
    return trained


@cache
def byte_level() -> tokenizers.Tokenizer:
    """What GPT-2's tokenizer is."""
    trained = tokenizers.Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trained.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<|endoftext|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    trained.train_from_iterator([CORPUS], trainer)
    return trained


def state(trained: tokenizers.Tokenizer) -> dict[str, Any]:
    """What tokenizer.json holds."""
    held: dict[str, Any] = json.loads(trained.to_str())
    return held


def tokens_in_order(trained: tokenizers.Tokenizer) -> list[str]:
    vocabulary = trained.get_vocab()
    return sorted(vocabulary, key=vocabulary.__getitem__)
