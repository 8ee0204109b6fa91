"""Which files of a base a release needs, and which must not come."""

from fnmatch import fnmatch

from tasks.clients.hub_files import HubFile
from tasks.clients.hub_headers import PICKLES
from tasks.core.checkpoint import INDEX
from tasks.core.companions import COMPANIONS
from tasks.core.errors import BaseModelError

CONFIG = "config.json"
ALWAYS = (CONFIG, "README.md", INDEX)
CODE = (".py",)


def wanted(repo: str, files: list[HubFile], shards: list[HubFile]) -> list[HubFile]:
    """Weights and their index, configuration, tokenizer, processor, chat template, licence, card.

    Args:
        repo: for messages.
        files: of the repository.
        shards: those of them that hold the weights.

    Raises:
        BaseModelError: no config.json.
    """
    if CONFIG not in {file.path for file in files}:
        raise BaseModelError(f"{repo} has no {CONFIG}", expected="a model as transformers saves it")
    return [file for file in files if file in shards or _beside(file.path)]


def left_out(files: list[HubFile]) -> list[str]:
    """Files that can run code and so never come: pickles and Python."""
    return [file.path for file in files if file.path.endswith((*PICKLES, *CODE))]


def _beside(path: str) -> bool:
    return path in ALWAYS or (
        any(fnmatch(path, pattern) for pattern in COMPANIONS)
        and not path.endswith((*PICKLES, *CODE))
    )
