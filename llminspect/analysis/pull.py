"""`llminspect pull`: fetch a model, once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from llminspect.analysis.result import Result
from llminspect.errors import UsageError
from llminspect.files.cache_folder import total_size
from llminspect.files.locate import locate
from llminspect.model.toy import TOYS

if TYPE_CHECKING:
    from llminspect.opening import Progress


@dataclass(frozen=True)
class PullResult(Result):
    """Where the model is now."""

    name: str
    path: str
    fetched: bool
    """Whether it was fetched now; false where it was there already."""
    bytes: int


def pull(
    name: str, *, revision: str | None = None, offline: bool = False, progress: Progress | None = None
) -> PullResult:
    """Fetch a model of the catalogue or of the hub unless it is there. Raises ModelError, UserError."""
    if name in TOYS:
        raise UsageError(f"{name} is built in, there is nothing to fetch")
    stages: set[str] = set()

    def watched(stage: str, done: int, total: int | None) -> None:
        stages.add(stage)
        if progress is not None:
            progress(f"{stage} {name}", done, total)

    located = locate(name, revision=revision, offline=offline, progress=watched)
    paths = [*located.weight_paths, *located.tokenizer_files.values()]
    return PullResult(name, str(located.path), bool(stages - {"wait"}), total_size(paths))
