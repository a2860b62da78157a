"""Byte-pair merging against the slow, obvious way, and the byte alphabet."""

from __future__ import annotations

import tracemalloc
from collections import Counter
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llminspect.text.bpe import BYTE_ALPHABET, Merge, WordCache, merge_pairs, merge_word, spell, unspell

CORPUS = "the other mother gathers then there aaaa aaaaaaaa abababab banana bananas anna nathan hannah " * 3


def merge_slowly(parts: list[str], ranks: dict[str, int]) -> list[str]:
    """Look for the best pair in the whole word, merge it, start again."""
    while True:
        pairs = [(ranks[f"{a} {b}"], i) for i, (a, b) in enumerate(pairwise(parts)) if f"{a} {b}" in ranks]
        if not pairs:
            return parts
        _, i = min(pairs)
        parts = [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]


def trained(merges: int) -> dict[str, int]:
    """Ranks learnt from the corpus, the most frequent pair first."""
    words = [list(word) for word in CORPUS.split()]
    ranks: dict[str, int] = {}
    for rank in range(merges):
        pairs = Counter(f"{a} {b}" for word in words for a, b in pairwise(word))
        if not pairs:
            break
        ranks[max(sorted(pairs), key=pairs.__getitem__)] = rank
        words = [merge_slowly(word, ranks) for word in words]
    return ranks


RANKS = trained(60)
LETTERS = st.text("abenrthmos", max_size=60) | st.text("ab", max_size=60) | st.text("a", max_size=60)


@given(LETTERS)
def test_merging_equals_the_slow_way(word: str) -> None:
    assert merge_pairs(list(word), RANKS, " ") == merge_slowly(list(word), RANKS)


SOME = ("a", "b", "c", "ab", "bc", "ca", "abc")


@given(st.text("abc", max_size=30), st.permutations([f"{left} {right}" for left in SOME for right in SOME]))
def test_merging_equals_the_slow_way_for_any_order_of_merges(word: str, merges: list[str]) -> None:
    ranks = {merge: rank for rank, merge in enumerate(merges)}
    assert merge_pairs(list(word), ranks, " ") == merge_slowly(list(word), ranks)


@given(st.lists(LETTERS, max_size=8).map("".join), st.integers(1, 40))
def test_a_word_merged_in_blocks_equals_the_whole(word: str, block: int) -> None:
    assert merge_word(word, RANKS, " ", block) == merge_pairs(list(word), RANKS, " ")


def test_the_trace_tells_each_merge_in_order() -> None:
    trace: list[Merge[str]] = []
    assert merge_pairs(list("xabab"), {"a b": 3, "ab ab": 7}, " ", trace) == ["x", "abab"]
    assert trace == [Merge("a", "b", 3, 1), Merge("a", "b", 3, 3), Merge("ab", "ab", 7, 1)]


def test_the_byte_alphabet() -> None:
    assert len(set(BYTE_ALPHABET)) == 256
    assert spell(b" \n!\xff") == "ĠĊ!ÿ"
    assert unspell("ĠĊ!ÿ") == b" \n!\xff"
    assert unspell(BYTE_ALPHABET) == bytes(range(256))


def test_long_words_take_linear_time_and_equal_blocks_are_merged_once() -> None:
    ranks = {" ".join(["a" * 2**n] * 2): n for n in range(5)}
    tokens = merge_word("a" * 10_000_000, ranks, " ")
    assert len(tokens) == 10_000_000 // 32
    assert set(tokens) == {"a" * 32}


def test_what_is_remembered_of_words_is_bounded_however_long_they_are() -> None:
    computed: list[str] = []

    def compute(word: str) -> list[int]:
        computed.append(word)
        return list(range(1000, 1000 + len(word)))

    cache = WordCache(compute)
    assert cache.ids(["again", "and", "again"]) == [*range(1000, 1005), *range(1000, 1003), *range(1000, 1005)]
    assert computed == ["again", "and"]
    tracemalloc.start()
    try:
        for number in range(12_000):
            cache.ids([f"{number:05}".ljust(256, "🙂")])
            computed.clear()
        assert tracemalloc.get_traced_memory()[1] < 80e6
        assert cache.ids(["11999".ljust(256, "🙂")]) == [*range(1000, 1256)]
        assert computed == []
    finally:
        tracemalloc.stop()
