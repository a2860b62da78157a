"""What the command line says of the engine, read and checked; no JAX needed for that."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Literal

from llminspect.core.dataclass import dataclass
from llminspect.errors import UsageError

AXES = ("data", "model")
Number = Literal["float32", "bfloat16"]


@dataclass(frozen=True)
class EngineSettings:
    """Where and how JAX runs."""

    axes: dict[str, int] | None = None
    """The mesh; None: one device, or with several processes all of them along "model"."""
    dtype: Number = "float32"
    """What weights are kept as; they are computed with in float32."""
    coordinator: str | None = None
    """HOST:PORT of process 0; auto: what the cluster says that JAX finds itself in (Slurm, Kubernetes, MPI)."""
    process: tuple[int, int] | None = None
    """This process's number and how many there are."""


def read_mesh(text: str) -> dict[str, int]:
    """`data=2,model=4` as sizes by axis. Raises UsageError."""
    axes: dict[str, int] = {}
    for part in text.split(","):
        name, _, size = part.strip().partition("=")
        if name not in AXES or name in axes or not re.fullmatch(r"[1-9][0-9]{0,5}", size):
            raise UsageError(f"--mesh cannot read {text!r}", "for example --mesh model=8 or --mesh data=2,model=4")
        axes[name] = int(size)
    return axes


def read_process(text: str) -> tuple[int, int]:
    """`0/2` as the number of this process and of all. Raises UsageError."""
    found = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if found is None or int(found[1]) >= int(found[2]):
        raise UsageError(f"--process cannot read {text!r}", "for example --process 0/2 and --process 1/2")
    return int(found[1]), int(found[2])


def read_address(text: str) -> tuple[str, int]:
    """`10.0.0.1:8476`, `[::1]:8476` or `name:8476` as host and port. Raises UsageError, for what means every address of
    a machine too: others cannot call that, and process 0 would listen to whoever can."""
    found = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\s:\[\]*/]+)):([0-9]{1,5})", text)
    if found is None or not 0 < int(found[3]) < 1 << 16:
        raise UsageError(f"--coordinator cannot read {text!r}", "for example --coordinator 10.0.0.1:8476")
    host, port = found[1] or found[2], int(found[3])
    check_one_address(host, host)
    return host, port


def check_one_address(host: str, address: str) -> None:
    """Refuse `address`, which `host` means, where it stands for all of a machine's, or for many machines. Raises
    UsageError."""
    import ipaddress
    import socket

    with suppress(OSError):
        address = socket.inet_ntoa(socket.inet_aton(address))  # Its other spellings, `0` and `0x0.0` among them.
    with suppress(ValueError):
        number = ipaddress.ip_address(address)
        number = getattr(number, "ipv4_mapped", None) or number
        if number.is_unspecified or number.is_multicast or str(number) == "255.255.255.255":
            what = "every address of a machine" if number.is_unspecified else "many machines"
            raise UsageError(
                f"--coordinator {host!r} means {what}",
                "give the one that the other processes call, for example 10.0.0.1:8476",
            )


def settings_of(mesh: str | None, dtype: Number | None, coordinator: str | None, process: str | None) -> EngineSettings:
    """The settings of the command line's options. Raises UsageError."""
    if coordinator == "auto" and process is None:
        return EngineSettings(None if mesh is None else read_mesh(mesh), dtype or "float32", coordinator)
    if (coordinator is None) != (process is None):
        one, other = ("--coordinator", "--process") if process is None else ("--process", "--coordinator")
        raise UsageError(f"{one} has no effect without {other}", "give --coordinator HOST:PORT --process I/N to each")
    if coordinator is not None and coordinator != "auto":
        read_address(coordinator)
    return EngineSettings(
        None if mesh is None else read_mesh(mesh),
        dtype or "float32",
        coordinator,
        None if process is None else read_process(process),
    )
