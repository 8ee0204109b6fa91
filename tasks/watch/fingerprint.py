"""What of a base's commit matters to a release: its weights, and the files that are released too.

weights     *.safetensors and their index, by sha256
behaviour   config.json and all that a release copies from its base, by git's object ids
the rest    prose: the card, pictures, other formats
"""

from collections.abc import Iterable
from fnmatch import fnmatch

from tasks.clients.hub_files import HubFile
from tasks.core.companions import COMPANIONS
from tasks.core.digest import sha256_json
from tasks.core.manifest import Frozen

WEIGHTS = "*.safetensors"
INDEX = "*.safetensors.index.json"
CONFIG = "config.json"


class Fingerprint(Frozen):
    """A commit, seen as a release sees it.

    Attributes:
        commit: of the base.
        weights: digest of the names and contents of shards and index; empty without weights.
        behaviour: digest of the names and contents of configuration, tokenizer, chat template,
            generation and processor settings, and licence.
    """

    commit: str
    weights: str
    behaviour: str


def fingerprint(commit: str, files: Iterable[HubFile]) -> Fingerprint:
    """Of a commit and its files as the Hub lists them; nothing is downloaded."""
    listed = list(files)
    weights = [file for file in listed if _is_weights(file.path)]
    behaviour = [file for file in listed if _is_behaviour(file.path)]
    shards = any(fnmatch(file.path, WEIGHTS) for file in weights)
    return Fingerprint(
        commit=commit,
        weights=_digest(weights) if shards else "",
        behaviour=_digest(behaviour),
    )


def _is_weights(path: str) -> bool:
    """Whether a release reads the file as weights: those below a folder are other formats."""
    return "/" not in path and any(fnmatch(path, pattern) for pattern in (WEIGHTS, INDEX))


def _is_behaviour(path: str) -> bool:
    return path == CONFIG or any(fnmatch(path, pattern) for pattern in COMPANIONS)


def _digest(files: Iterable[HubFile]) -> str:
    return sha256_json(sorted((file.path, file.content_id) for file in files))
