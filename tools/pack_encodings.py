"""Pack OpenAI's rank tables into the files that the package carries: `python tools/pack_encodings.py FOLDER`.

FOLDER holds `o200k_base.tiktoken`, `cl100k_base.tiktoken`, `r50k_base.tiktoken` and `p50k_base.tiktoken` as OpenAI
publishes them (tiktoken fetches them from openaipublic.blob.core.windows.net/encodings/). A table becomes the number of
its tokens (four bytes), the length of each (one byte) in the order of ranks, and all tokens, compressed by zlib.
p50k_base is r50k_base with runs of spaces after, and `llminspect/files/encodings.py` makes it so.
"""

from __future__ import annotations

import base64
import sys
import zlib
from pathlib import Path

DATA = Path(__file__).parent.parent / "llminspect" / "files" / "data"
sys.path.insert(0, str(DATA.parent.parent.parent))

SHA256 = {
    "o200k_base": "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    "cl100k_base": "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    "p50k_base": "94b5ca7dff4d00767bc256fdd1b27e5b17361d7b8a5f968547f9f23eb70d2069",
    "r50k_base": "306cd27f03c1a714eca7108e03d66b7dc042abe8c258b44c199a7ed9838dd930",
}
"""The sha256 of each table as OpenAI publishes it."""


def pack(source: bytes) -> bytes:
    """A `.tiktoken` file (a line a token: base64, rank) as lengths and tokens, compressed."""
    lines = [line.split() for line in source.splitlines()]
    if [int(rank) for _, rank in lines] != list(range(len(lines))):
        raise SystemExit("the ranks do not count up from 0")
    tokens = [base64.b64decode(token) for token, _ in lines]
    return zlib.compress(len(tokens).to_bytes(4, "little") + bytes(map(len, tokens)) + b"".join(tokens), 9)


def as_published(tokens: list[bytes]) -> bytes:
    """A table in the form that OpenAI publishes: a line a token, base64 and rank."""
    return b"".join(b"%s %d\n" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens) if token)


def main(folder: Path) -> None:
    from llminspect.files.encodings import rank_table

    for name in ("o200k_base", "cl100k_base", "r50k_base"):
        (DATA / f"{name}.ranks").write_bytes(pack((folder / f"{name}.tiktoken").read_bytes()))
    for name in SHA256:
        if as_published(rank_table(name)) != (folder / f"{name}.tiktoken").read_bytes():
            raise SystemExit(f"{name} does not come out as it went in")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
