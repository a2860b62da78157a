"""Each golden model is opened once a worker, as a user would open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llminspect.opening import open_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable

    from llminspect.model.opened import Model

    Opened = Callable[[str], tuple[Golden, Model]]


@pytest.fixture(scope="session")
def opened() -> Opened:
    models: dict[str, tuple[Golden, Model]] = {}

    def open_once(name: str) -> tuple[Golden, Model]:
        if name not in models:
            golden = Golden(name)
            models[name] = golden, open_model(str(golden.folder), offline=True)
        return models[name]

    return open_once
