"""What to say of a tap that names what a pass never reaches."""

from __future__ import annotations

import re
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from llminspect.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Sequence


def never_reached(name: str, names: Sequence[str]) -> UserError:
    """The error for a name, or a pattern, that was not met; `names` are all that there are, of the pass and the logits.

    It says which come nearest, with `*` for the numbers of layers where the pattern has one.
    """
    elsewhere = [found for found in names if fnmatchcase(found, name)]
    if elsewhere:
        where = "logits" if elsewhere[0].startswith("final.") else "encode_source"
        return UserError(
            f"a tap waits for {name!r}, and this pass does not come there", f"give the tap to model.{where}"
        )
    known = [re.sub(r"\d+", "*", found) for found in names] if "*" in name else names
    near = get_close_matches(name, list(dict.fromkeys(known)), 3, 0.5)
    hint = f"the nearest names are {', '.join(near)}" if near else "model.names() lists all names"
    return UserError(f"a tap waits for {name!r}, and no step of the pass has that name", hint)
