"""Weights made ready once: float32 in the layout of the core, in a file that is mapped into memory from then on.

Mapping costs nothing until an array is touched, and processes share what is mapped. A file counts only if it is
whole: its header (with a checksum) says how long it is and when it was finished, and neither may differ. So a file cut
short, half-written or changed by any program afterwards is made anew. `damaged_arrays` compares the numbers too.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np

from llminspect.errors import ModelError, UsageError, UserError
from llminspect.files import remarks
from llminspect.files.cache_folder import keep_below_limit
from llminspect.files.home import Progress, clear_leftovers, only_one, subfolder
from llminspect.files.prepared_file import Arrays, CannotKeep, Planned, each_array, mapped, write_prepared
from llminspect.files.weights import all_finite, shown

if TYPE_CHECKING:
    from numpy.typing import NDArray


def prepared(
    key: str,
    plan: Sequence[Planned],
    *,
    progress: Progress | None = None,
    notice: Callable[[str], None] | None = None,
    source: Mapping[str, Any] | None = None,
    check: Callable[[], object] = lambda: None,
) -> Arrays:
    """The planned arrays, float32 and read-only: mapped from the cache, and made for it if it has none under `key`.

    The key must change whenever the arrays would. `progress("prepare", done, total)` counts bytes. Where the cache
    cannot be written or is full, `notice(one line)` is called (default: `remarks.notice`) and the arrays are made
    in memory. `source` says where the arrays come from, for `kept_source`; `check` is called when all are made, before
    any is kept or used. UserError: not enough memory for that. Whatever `read` or `check` raises.
    """
    try:
        harmless = re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}", key)
        name = key if harmless else hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
        path = subfolder("prepared") / name
        arrays = mapped(path, plan)
        if arrays is None:
            with only_one(path.name):
                arrays = mapped(path, plan)  # Another process may just have made it.
                if arrays is None:
                    clear_leftovers(path)
                    write_prepared(path, plan, progress, source, check)
                    arrays = mapped(path, plan)
            keep_below_limit(path)
        if arrays is not None:
            with suppress(OSError):  # Not every file system notes a use, and what is used is the last to be cleared.
                os.utime(path, ns=(time.time_ns(), path.stat().st_mtime_ns))
            return arrays
        why = f"{path} does not read back as it was written"
    except CannotKeep as error:
        why = str(error)
    except (UsageError, ModelError):
        raise
    except UserError as error:
        why = error.message
    (notice or remarks.notice)(shown(f"the prepared weights cannot be kept, so they are made again each time: {why}"))
    arrays = _in_memory(plan, progress)
    check()
    return arrays


def _in_memory(plan: Sequence[Planned], progress: Progress | None) -> Arrays:
    arrays = Arrays((planned.name, np.empty(0, np.float32)) for planned in plan)

    def keep(index: int, array: NDArray[np.float32]) -> None:
        array = array.view()
        array.flags.writeable = False
        arrays[plan[index].name] = array

    try:
        each_array(plan, keep, progress)
    except MemoryError:
        size = sum(planned.nbytes for planned in plan)
        raise UserError(
            f"the weights take {size / 1e6:,.0f} MB of memory, which this machine does not have free",
            "set LLMINSPECT_HOME to a folder with that much room, so that they can be kept there and mapped",
        ) from None
    arrays.not_finite = sorted(name for name, array in arrays.items() if not all_finite(array))
    return arrays
