"""Products with matrices as the file quantizes them, by compiled code (`--kernels numba`); numpy is its oracle."""

from __future__ import annotations

from llminspect.errors import UserError


def check_installed() -> None:
    """Raise UserError where numba is not installed."""
    from importlib.util import find_spec

    if find_spec("numba") is None:
        raise UserError("--kernels numba needs numba, which is not installed", "pip install 'llminspect-cli[compiled]'")
