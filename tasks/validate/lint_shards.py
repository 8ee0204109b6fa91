"""The safetensors files and their index: whole, complete, and of the sizes they claim."""

import json
from pathlib import Path

from tasks.core.checkpoint import INDEX, PREFIX, SINGLE, StoredTensor, read_header
from tasks.core.errors import IntegrityError
from tasks.core.gate_records import Check
from tasks.core.recipe import Recipe
from tasks.validate.lint_config import read_object
from tasks.validate.lint_findings import verdict

METADATA = {"format": "pt"}
MAX_SHARD = 5_000_000_000


def check(candidate: Path, recipe: Recipe | None) -> list[Check]:
    """The checks `shards.whole`, `shards.size`, `shards.metadata` and `shards.index`."""
    paths = sorted(candidate.glob("*.safetensors"))
    headers: dict[str, dict[str, StoredTensor]] = {}
    broken = [] if paths else ["there is no safetensors file"]
    for path in paths:
        try:
            headers[path.name] = read_header(path)
        except IntegrityError as error:
            broken.append(f"{path.name}: {error.found}")
    whole = verdict(
        "shards.whole",
        broken,
        required="header and tensors fill each file to the byte",
        seen=f"{len(paths)} files, {sum(p.stat().st_size for p in paths)} bytes",
    )
    readable = [path for path in paths if path.name in headers]
    limit = MAX_SHARD if recipe is None else recipe.max_shard_bytes
    return [whole, _sizes(paths, limit), _metadata(readable), _index(candidate, headers, paths)]


def _sizes(paths: list[Path], limit: int) -> Check:
    large = [path for path in paths if path.stat().st_size > limit]
    return verdict(
        "shards.size",
        [f"{path.name} has {path.stat().st_size} bytes" for path in large],
        required=f"at most {limit} bytes a file",
        seen=f"at most {max((p.stat().st_size for p in paths), default=0)} bytes",
    )


def _metadata(paths: list[Path]) -> Check:
    complaints = []
    for path in paths:
        with path.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(PREFIX), "little")))
        if header.get("__metadata__") != METADATA:
            complaints.append(f"{path.name}: {header.get('__metadata__')!r:.80}")
    return verdict("shards.metadata", complaints, required=f"{METADATA} alone", seen="as required")


def _index(
    candidate: Path, headers: dict[str, dict[str, StoredTensor]], paths: list[Path]
) -> Check:
    """Names every tensor and every file once, and adds up."""
    required = "every tensor of every shard, and total_size the sum of their bytes"
    if not (candidate / INDEX).exists() and [path.name for path in paths] == [SINGLE]:
        return verdict("shards.index", [], required=required, seen="a single file needs none")
    index = read_object(candidate / INDEX)
    named = index.get("weight_map")
    if not isinstance(named, dict):
        return verdict("shards.index", [f"{INDEX} has no weight_map"], required=required, seen="")
    stored = {(name, shard) for shard, header in headers.items() for name in header}
    complaints = [f"{n} is in {s} but not in the index" for n, s in sorted(stored - named.items())]
    complaints += [
        f"{name} is not in {shard}" for name, shard in sorted(named.items() - stored, key=str)
    ]
    claimed = index.get("metadata", {}).get("total_size")
    total = sum(t.spec.nbytes for header in headers.values() for t in header.values())
    if claimed != total:
        complaints.append(f"total_size is {claimed}, not {total}")
    return verdict("shards.index", complaints, required=required, seen=f"{total} bytes")
