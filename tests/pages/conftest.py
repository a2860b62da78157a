"""A browser for the tests of pages. Where there is none they are left out, and the summary says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.pages import browser as chromium

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Browser]:
    opened = chromium.Browser(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()
