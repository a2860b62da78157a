"""What `cache` can be told to do."""

from __future__ import annotations

from typing import Literal

Action = Literal["show", "verify", "clear"]
