"""OpenAI's rank tables, carried in the package so that no network is needed.

Packed as lengths and bytes they take 1.6 MB, and unpacking the largest takes 30 ms, where tiktoken parses 3.6 MB of
base64 in 330 ms. `tools/pack_encodings.py` makes the files, and a test holds what comes out of them to the sha256 that
tiktoken pins.
"""

from __future__ import annotations

import base64
import zlib
from itertools import accumulate, pairwise
from pathlib import Path

SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
}
"""The sha256 of each table as OpenAI publishes it."""


def rank_table(name: str) -> list[bytes]:
    """The tokens of a table by rank, which is their id; b"" where a rank is left out. `name` is one of `SHA256`."""
    if name == "p50k_base":
        # Rank 50256 is r50k_base's <|endoftext|>; then runs of 2 to 25 spaces, for source code.
        return [*rank_table("r50k_base"), b"", *(b" " * length for length in range(2, 26))]
    packed = zlib.decompress((Path(__file__).parent / "data" / f"{name}.ranks").read_bytes())
    count = int.from_bytes(packed[:4], "little")
    ends = accumulate(packed[4 : 4 + count], initial=4 + count)
    return [packed[start:end] for start, end in pairwise(ends)]


def as_published(tokens: list[bytes]) -> bytes:
    """A table in the form that OpenAI publishes: a line a token, base64 and rank."""
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens) if token)
