"""`python -m tools.vocabularies`: fetches the vocabularies with which llama.cpp tests its tokenizers, if need be.

They may have licences of the models that they belong to, so they are no part of this repository. They lie in
`../shared/vocabularies`, or come out of the source distribution of llama-cpp-python (77 MB), which pip fetches by its
hash, into the cache folder. Wherever they lie, they are the same files.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from tempfile import TemporaryDirectory

from llminspect.files.home import beside, home

NAMES = (
    *("bert-bge", "deepseek-coder", "falcon", "gemma-4", "gpt-2", "llama-bpe", "llama-spm", "phi-3", "qwen2"),
    "starcoder",
)
FILES = tuple(f"ggml-vocab-{name}.gguf{end}" for name in NAMES for end in ("", ".inp", ".out"))
SHA256 = "9db4dec4a9d779b4a5b13027e9925b1d315e0433bef27f26ec1d40053e136c4f"
"""Of all the files, one after the other."""
SDIST = "llama-cpp-python==0.3.36 --hash=sha256:832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
PLACE = "vendor/llama.cpp/models"
SHARED = Path(__file__).parents[2] / "shared" / "vocabularies"


def kept() -> Path:
    """Where fetched ones lie."""
    return home() / "conformance" / "vocabularies"


def folder() -> Path:
    """The folder that has them. Raises FileNotFoundError where none does, ValueError where they are other files."""
    found = next((place for place in (SHARED, kept()) if all((place / file).is_file() for file in FILES)), None)
    if found is None:
        raise FileNotFoundError(f"llama.cpp's vocabularies are neither in {SHARED} nor in {kept()}: make conformance")
    digest = hashlib.sha256(b"".join(hashlib.sha256((found / file).read_bytes()).digest() for file in FILES))
    if digest.hexdigest() != SHA256:
        raise ValueError(f"{found} does not hold the files that llama.cpp tests with; remove it: make conformance")
    return found


def fetch() -> None:
    """Bring them into the cache folder, all or none of them."""
    place = kept()
    place.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as work:
        wanted = Path(work, "requirements.txt")
        wanted.write_text(SDIST + "\n")
        pip = (*(sys.executable, "-P", "-m", "pip", "download", "-q", "--disable-pip-version-check", "--no-deps"),)
        options = ("--require-hashes", "--no-binary", "llama-cpp-python", "--dest", work, "--requirement", str(wanted))
        if subprocess.run([*pip, *options], check=False).returncode:
            sys.exit(f"llama.cpp's vocabularies cannot be fetched; put them into {SHARED} or {place}")
        partial = beside(place)
        partial.mkdir()
        with tarfile.open(next(Path(work).glob("*.tar.gz"))) as archive:
            for member in archive:
                parent, _, name = member.name.rpartition("/")
                if name in FILES and parent.endswith(PLACE):
                    source = archive.extractfile(member)
                    assert source is not None
                    (partial / name).write_bytes(source.read())
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)


def main() -> None:
    try:
        folder()
    except (FileNotFoundError, ValueError):
        print("Fetching the vocabularies with which llama.cpp tests its tokenizers (77 MB) …", flush=True)
        fetch()
        folder()


if __name__ == "__main__":
    main()
