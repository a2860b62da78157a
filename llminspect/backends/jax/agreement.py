"""What several processes must have in common, found by comparing all of them."""

from __future__ import annotations

import hashlib
from functools import cache
from typing import TYPE_CHECKING, Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from llminspect.errors import UsageError

if TYPE_CHECKING:
    from llminspect.core.array import Array


def of_first(number: int) -> int:
    """The number of process 0, on all of them."""
    return int(_of_all(np.array([number], np.uint32))[0, 0])


def check_agreement(data: bytes) -> None:
    """Raise UsageError, on all of them, where the processes were given different things:
    they would compute a mixture."""
    digests = _of_all(np.frombuffer(hashlib.blake2b(data, digest_size=16).digest(), np.uint32))
    if (digests != digests[0]).any():
        raise UsageError(
            "the processes of this run are not asked the same",
            "start all of them with the same arguments, and with the same text where it comes from standard input",
        )


def _of_all(numbers: Array) -> Array:
    """A row of numbers from each process."""
    rows, gathered = _gather()
    count = jax.process_count()
    found: Array = np.asarray(
        gathered(jax.make_array_from_callback((count, len(numbers)), rows, lambda index: numbers[None]))
    )
    return found


@cache
def _gather() -> tuple[NamedSharding, Any]:
    """How rows lie on one device of each process, which may have different numbers of them; and a program that gives
    all rows to all."""
    firsts: dict[int, Any] = {}
    for device in jax.devices():
        firsts.setdefault(device.process_index, device)
    mesh = Mesh(np.array([firsts[number] for number in sorted(firsts)]), ("process",))
    whole = NamedSharding(mesh, PartitionSpec())
    return NamedSharding(mesh, PartitionSpec("process")), jax.jit(lambda rows: rows, out_shardings=whole)
