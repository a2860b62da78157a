"""The hub's own library, kept quiet, and its errors in our words. Imported only to download."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from llminspect.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Result = TypeVar("Result")

TOKEN_HINT = "if it is private or gated, set HF_TOKEN to a token that may read it"
HTTP_CLIENTS = {"httpx", "httpx2", "httpcore", "httpcore2", "requests", "urllib3"}
"""Packages whose exceptions mean that the network failed: the library has changed clients before."""


class LibraryHub:
    """The hub as `huggingface_hub` reaches it: tokens, mirrors, proxies and the cache by its own environment."""

    def __init__(self) -> None:
        import logging
        from importlib import import_module

        logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
        import_module("huggingface_hub.utils").disable_progress_bars()

    def listing(self, repo: str, revision: str) -> tuple[str, Mapping[str, int]]:
        """The commit that a revision stands for, and its files with their sizes. ModelError: it cannot be had."""
        from huggingface_hub import HfApi

        info = explained(lambda: HfApi().model_info(repo, revision=revision, files_metadata=True), repo, revision)
        return info.sha or "", {file.rfilename: file.size or 0 for file in info.siblings or []}

    def fetch(self, repo: str, commit: str, name: str) -> None:
        """Bring one file into the library's cache. ModelError: it cannot be had. OSError: no room for it."""
        from huggingface_hub import hf_hub_download

        from llminspect.files.home import hub_folder

        explained(lambda: hf_hub_download(repo, name, revision=commit, cache_dir=hub_folder()), repo, commit)


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
    except Exception as error:
        if type(error).__module__.partition(".")[0] in HTTP_CLIENTS:
            raise unreachable(repo) from None
        raise


def unreachable(repo: str) -> ModelError:
    return ModelError(
        f"{repo} is not in the local hub cache, and the hub cannot be reached",
        "check the network (HF_ENDPOINT and the proxy variables are honoured) and try again",
    )
