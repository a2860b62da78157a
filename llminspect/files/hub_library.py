"""The Hugging Face hub as its own library reaches it: kept quiet, its answers looked at, its errors in our words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from llminspect.errors import ModelError, reader
from llminspect.files.home import hub_folder

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from huggingface_hub.hf_api import ModelInfo

HASH = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
"""A hash as the hub gives it: git's number of a file, or the SHA-256 of a large one."""
TOKEN_HINT = "if it is private or gated, set HF_TOKEN to a token that may read it"
HTTP_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
"""Packages whose exceptions mean that the network failed: the library has changed clients before."""

Result = TypeVar("Result")


class Listed(NamedTuple):
    """A file as the hub lists it."""

    size: int
    hash: str
    """Its SHA-256 where it is a large file, else git's number of it; in hex."""


class Hub:
    """The hub as `huggingface_hub` reaches it: tokens, mirrors, proxies and the cache by its own environment."""

    def __init__(self) -> None:
        import logging
        from importlib import import_module

        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        import_module("huggingface_hub.utils").disable_progress_bars()

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, Listed]]:
        """The commit that a revision stands for, and its files. ModelError: it cannot be had, or is no listing."""
        from huggingface_hub import HfApi

        info = explained(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True), repo, revision)
        return _listed(info, repo)

    def fetch(self, repo: str, commit: str, name: str) -> None:
        """Bring one file into the library's cache. ModelError: it cannot be had. OSError: no room for it."""
        from huggingface_hub import hf_hub_download

        explained(lambda: hf_hub_download(repo, name, revision=commit, cache_dir=hub_folder()), repo, commit)


@reader("the listing of the hub")
def _listed(info: ModelInfo, repo: str) -> tuple[str, Mapping[str, Listed]]:
    """What the library made of an answer, which it does not look at itself. ModelError: it is no listing of files."""
    listed = {}
    for file in info.siblings or []:
        digits, size = (file.lfs.sha256 if file.lfs is not None else file.blob_id) or "", file.size or 0
        plain = all(isinstance(text, str) for text in (file.rfilename, digits))
        if not plain or type(size) is not int or not 0 <= size < 1 << 63 or not encodable(file.rfilename):
            raise no_answer(repo)
        listed[file.rfilename] = Listed(size, digits)
    if not isinstance(info.sha, str | None):
        raise no_answer(repo)
    return info.sha or "", listed


def encodable(name: str) -> bool:
    """Whether a name is one that a file can have: no half character, and not empty."""
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def no_answer(repo: str) -> ModelError:
    return ModelError(
        f"the answer that came for {repo} is not one of the hub",
        "look at what HF_ENDPOINT and the proxy variables lead to (a page to log in?)",
    )


def explained(ask: Callable[[], Result], repo: str, revision: str) -> Result:
    """What `ask` gives, its failures as a ModelError of one line."""
    from huggingface_hub import errors

    try:
        return ask()
    except errors.GatedRepoError:
        raise ModelError(f"{repo} asks you to accept its terms first", f"do so on its page; {TOKEN_HINT}") from None
    except errors.RevisionNotFoundError:
        raise ModelError(f"{repo} has no revision {revision!r:.100}", "give a branch, a tag or a commit") from None
    except errors.RepositoryNotFoundError:
        raise ModelError(f"there is no model {repo} on the hub", f"check the name; {TOKEN_HINT}") from None
    except errors.OfflineModeIsEnabled:
        raise ModelError(f"{repo} is not in the local hub cache, and HF_HUB_OFFLINE is set", "unset it once") from None
    except errors.LocalEntryNotFoundError:
        raise unreachable(repo) from None
    except errors.HfHubHTTPError as error:
        status = getattr(getattr(error, "response", None), "status_code", None)
        if status in (401, 403):
            raise ModelError(f"the hub does not let you read {repo}", TOKEN_HINT) from None
        raise ModelError(f"the hub answers {status or 'with an error'} for {repo}", "try again later") from None
    except OSError as error:
        if error.errno and not isinstance(error, ConnectionError | TimeoutError):
            raise
        raise unreachable(repo) from None
    except errors.HFValidationError:
        raise ModelError(f"{repo!r:.200} is no name on the hub", "names are org/name") from None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        raise no_answer(repo) from None  # HTML, or JSON of another form.
    except Exception as error:
        if type(error).__module__.partition(".")[0] in HTTP_CLIENTS:
            raise unreachable(repo) from None
        raise


def unreachable(repo: str) -> ModelError:
    return ModelError(
        f"{repo} is not in the local hub cache, and the hub cannot be reached",
        "check the network (HF_ENDPOINT and the proxy variables are honoured) and try again",
    )
