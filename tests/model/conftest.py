"""Each golden model is opened once a worker, as a user would open it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from llminspect.opening import open_model
from tests.model.golden import Golden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from llminspect.model.opened import Model

    Opened = Callable[[str], tuple[Golden, Model]]


@pytest.fixture(scope="session")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    home: Path = tmp_path_factory.mktemp("home")
    models: dict[str, tuple[Golden, Model]] = {}

    def open_once(name: str) -> tuple[Golden, Model]:
        if name not in models:
            golden = Golden(name)
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("LLMINSPECT_HOME", str(home))
                models[name] = golden, open_model(str(golden.folder), offline=True)
        return models[name]

    yield open_once
