"""An adapter's folder as PEFT lays it out: adapter_config.json and adapter_model.safetensors, local or on the hub."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from llminspect.core.dataclass import dataclass
from llminspect.errors import ModelError, reader
from llminspect.files import folder as folders
from llminspect.files.hashes import sha256_of
from llminspect.files.home import expanded
from llminspect.files.safetensors import SafetensorsFile
from llminspect.files.source import read_json

AS_PEFT = f"an adapter in the form of PEFT has {folders.ADAPTER_CONFIG} and {folders.ADAPTER}"


@dataclass(frozen=True)
class AdapterFiles:
    """What the two files say."""

    name: str
    """As the user gave it."""
    config: Mapping[str, Any]
    weights: SafetensorsFile
    provenance: Mapping[str, str]
    """Its name, or repo and revision, and the SHA-256 of both files."""

    @property
    def identity(self) -> str:
        """Changes whenever what is added may have."""
        return f"{self.provenance['sha256'][:32]}-{self.provenance['config_sha256'][:32]}"


@reader("the adapter")
def locate_adapter(name: str, *, offline: bool = False) -> AdapterFiles:
    """Find an adapter: a folder or one of its two files, else `org/name` on the hub, fetched if need be. ModelError:
    none there, or broken."""
    from llminspect.files import hub

    folder, origin = expanded(name), {"name": name}
    if os.path.isfile(folder):
        if folder.name not in (folders.ADAPTER_CONFIG, folders.ADAPTER):
            raise ModelError(f"{name!r:.300} is a file, and an adapter is a folder", AS_PEFT)
        folder = folder.parent
    elif not os.path.isdir(folder):
        if not hub.is_hub_name(name):
            raise ModelError(f"there is no folder {name!r:.300}", f"an adapter is a folder with {folders.ADAPTER}")
        folder = hub.find(name, None, offline=offline, weights=False, files=(folders.ADAPTER_CONFIG, folders.ADAPTER))
        origin = {"repo": name, "revision": folder.name}
    for needed in (folders.ADAPTER_CONFIG, folders.ADAPTER):
        if not (folder / needed).exists():
            folders.refuse_pickles((path.name for path in folder.iterdir()), str(folder))
            raise ModelError(f"the folder {str(folder)!r:.300} holds no {needed}", AS_PEFT)
    config, weights = folders.inside(folder, folders.ADAPTER_CONFIG), folders.inside(folder, folders.ADAPTER)
    try:
        hashes = {"sha256": sha256_of(weights), "config_sha256": sha256_of(config)}
    except OSError as error:
        raise ModelError(f"cannot read {str(folder)!r:.300}: {error.strerror or error}") from None
    return AdapterFiles(name, read_json(config), SafetensorsFile(weights), {**origin, **hashes})
