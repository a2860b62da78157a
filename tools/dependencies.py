"""What llminspect stands on: `python -m tools.dependencies` prints the table of docs/dependencies.md, and with `--bill`
a bill of materials (CycloneDX 1.6, JSON), both of requirements.lock and of what is installed."""

from __future__ import annotations

import argparse
import json
import re
import tomllib
from importlib.metadata import PackageNotFoundError, metadata, requires
from pathlib import Path
from typing import Any, NamedTuple

from packaging.requirements import Requirement

from llminspect.version import __version__

ROOT = Path(__file__).parent.parent
PACKAGE = "llminspect-cli"
ELSEWHERE = {"colorama": "BSD-3-Clause", "httpx2-jsfetch": "BSD-3-Clause", "pywin32": "PSF-2.0"}
"""The licences of what is installed on other systems alone."""


class Locked(NamedTuple):
    """A line of the lock: one version of a package, and the hashes of its files for all systems."""

    name: str
    version: str
    here: bool
    """Whether its marker holds on this Python and system."""
    hashes: tuple[str, ...]


def locked(path: Path = ROOT / "requirements.lock") -> list[Locked]:
    """What the lock names, in its order. ValueError: a line that is no version with hashes."""
    found = []
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf-8"), flags=re.M).replace("\\\n", " ")
    for line in text.splitlines():
        stated, *hashes = re.split(r"\s+--hash=sha256:", line.strip())
        wanted = Requirement(stated)
        versions = [part.version for part in wanted.specifier if part.operator == "=="]
        if len(versions) != 1 or not hashes or not all(re.fullmatch("[0-9a-f]{64}", one) for one in hashes):
            raise ValueError(f"no version with its hashes: {line[:80]}")
        here = wanted.marker is None or wanted.marker.evaluate()
        found.append(Locked(wanted.name, versions[0], here, tuple(hashes)))
    return found


def canonical(name: str) -> str:
    """The one spelling that an index knows a package by."""
    return re.sub(r"[-_.]+", "-", name).lower()


def licence(name: str) -> str:
    """What the installed package says of its licence, or what is known of one that is for other systems."""
    try:
        about = metadata(name)
    except PackageNotFoundError:
        return ELSEWHERE[canonical(name)]
    expressions = about.get_all("License-Expression") or []
    stated: str = [*expressions, *(about.get_all("License") or []), ""][0]
    if not expressions and (len(stated) > 40 or not stated):
        kinds = [kind for kind in about.get_all("Classifier") or [] if kind.startswith("License ::")]
        stated = ", ".join(kind.rpartition(" :: ")[2] for kind in kinds) or stated.partition("\n")[0]
    return stated.strip()


def needed() -> set[str]:
    """The packages that llminspect needs to run, and what these need, on this system."""
    found: set[tuple[str, frozenset[str]]] = set()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    open_ = [Requirement(one) for one in project["dependencies"]]
    while open_:
        wanted = open_.pop()
        known = canonical(wanted.name), frozenset(wanted.extras)
        if known in found or (wanted.marker is not None and not wanted.marker.evaluate({"extra": ""})):
            continue
        found.add(known)
        for one in map(Requirement, requires(known[0]) or []):
            if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *wanted.extras)):
                one.marker = None
                open_.append(one)
    return {name for name, _ in found}


def table() -> str:
    """A row for each package: its licence, and what it is for."""
    to_run = needed()
    names = sorted({canonical(one.name) for one in locked()})
    rows = [f"| {name} | {licence(name)} | {'running' if name in to_run else 'development'} |" for name in names]
    return "\n".join(["| package | licence | for |", "|---|---|---|", *rows])


def bill() -> dict[str, Any]:
    """The bill of materials of this version: what it needs to run, and as `excluded` what it is tested with."""
    to_run = needed()
    components = [
        {
            "type": "library",
            "bom-ref": f"pkg:pypi/{canonical(one.name)}@{one.version}",
            "name": canonical(one.name),
            "version": one.version,
            "purl": f"pkg:pypi/{canonical(one.name)}@{one.version}",
            "scope": "required" if canonical(one.name) in to_run else "excluded",
            "licenses": [{"license": {"name": licence(one.name)}}],
            "hashes": [{"alg": "SHA-256", "content": content} for content in one.hashes],
        }
        for one in locked()
    ]
    name = f"pkg:pypi/{PACKAGE}@{__version__}"
    itself = {"type": "application", "bom-ref": name, "name": PACKAGE, "version": __version__, "purl": name}
    itself |= {"licenses": [{"license": {"id": "Apache-2.0"}}]}  # type: ignore[dict-item]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": itself},
        "components": components,
        "dependencies": [
            {"ref": name, "dependsOn": [one["bom-ref"] for one in components if one["scope"] == "required"]},
            *({"ref": one["bom-ref"]} for one in components),
        ],
    }


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tools.dependencies", description=__doc__)
    parser.add_argument("--bill", action="store_true", help="a bill of materials instead of the table")
    print(json.dumps(bill(), indent=1) if parser.parse_args().bill else table())


if __name__ == "__main__":
    main()
