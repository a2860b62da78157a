"""The library: every command, and the questions inside them, as functions. Import them from `llminspect` itself.

A function takes a text, a model (its name, as `--model` takes it, or one that `open_model` opened, which saves opening
it again), and the options of its command by their names with `_` for `-`; what is not given is as on the command line.
It gives the Result that `--json` writes, with numpy arrays for the numbers.
"""

from __future__ import annotations

from llminspect.analysis.result import Result
from llminspect.library.drawing import html

Result.draw = staticmethod(html)
