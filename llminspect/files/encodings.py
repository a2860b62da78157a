"""OpenAI's rank tables, carried in the package so that no network is needed.

Packed as lengths and bytes they take 1.6 MB, and unpacking the largest takes 30 ms, where tiktoken parses 3.6 MB of
base64 in 330 ms. `tools/pack_encodings.py` makes the files, and a test holds what comes out of them to the sha256 that
tiktoken pins.
"""

from __future__ import annotations

import zlib
from itertools import accumulate, pairwise
from pathlib import Path


def rank_table(name: str) -> list[bytes]:
    """The tokens of a table by rank, which is their id; b"" where a rank is left out. `name` is OpenAI's."""
    if name == "p50k_base":
        # Rank 50256 is r50k_base's <|endoftext|>; then runs of 2 to 25 spaces, for source code.
        return [*rank_table("r50k_base"), b"", *(b" " * length for length in range(2, 26))]
    packed = zlib.decompress((Path(__file__).parent / "data" / f"{name}.ranks").read_bytes())
    count = int.from_bytes(packed[:4], "little")
    ends = accumulate(packed[4 : 4 + count], initial=4 + count)
    return [packed[start:end] for start, end in pairwise(ends)]
