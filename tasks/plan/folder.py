"""The base as a folder on this machine describes it, for plans without a Hub.

A folder holds `config.json` and either the shards or `tensors.json.gz`: dtype and shape of every
tensor by name, which is all that a plan reads of the shards.
"""

import gzip
import json
from pathlib import Path

from tasks.clients.hub_headers import RemoteCheckpoint
from tasks.core.checkpoint import Checkpoint
from tasks.core.errors import BaseModelError
from tasks.core.schemes import TensorSpec
from tasks.plan.base import CONFIG, Base

LISTED = "tensors.json.gz"


def look_in(folder: Path) -> Base:
    """Read what a folder says of a base.

    Raises:
        BaseModelError: there is no config.json, or neither shards nor a list of tensors.
        IntegrityError: a shard is broken.
    """
    try:
        config = json.loads((folder / CONFIG).read_text())
        tensors = _listed(folder) if (folder / LISTED).is_file() else Checkpoint(folder).tensors
    except (OSError, ValueError, RecursionError) as error:
        raise BaseModelError(
            f"{folder} is no base model",
            expected=f"config.json, and safetensors shards or {LISTED}",
            found=str(error),
        ) from None
    size = sum(spec.nbytes for spec in tensors.values())
    return Base(str(folder), "local", config, "", RemoteCheckpoint(tensors, {}, size))


def _listed(folder: Path) -> dict[str, TensorSpec]:
    stored = json.loads(gzip.decompress((folder / LISTED).read_bytes()))
    return {name: TensorSpec(dtype, tuple(shape)) for name, (dtype, shape) in stored.items()}
