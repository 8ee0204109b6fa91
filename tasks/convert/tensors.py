"""Where each tensor of the release comes from: AutoRound's output, or the base's shards."""

import re
from collections.abc import Iterable
from functools import partial

from tasks.core.checkpoint import Checkpoint
from tasks.core.checkpoint_writer import Piece
from tasks.core.errors import QuantizeError
from tasks.core.schemes import PACKED, release_tensors

_WRAPPERS = ("model", "language_model")
SHOWN = 4


def release_pieces(base: Checkpoint, output: Checkpoint, modules: Iterable[str]) -> list[Piece]:
    """All tensors of the release under the base's names, in the order of the model's blocks.

    Args:
        base: the base; gives the bytes of every tensor that is not quantized.
        output: AutoRound's output; gives the packed tensors and nothing else.
        modules: the base's modules that the recipe quantizes.

    Raises:
        QuantizeError: AutoRound quantized other modules, or stored them otherwise than NVFP4.
    """
    named = _by_core_name(output)
    _check_modules(modules, named)
    pieces = []
    for name, spec in release_tensors(base.tensors, modules).items():
        if name in base:
            pieces.append(Piece(name, spec, partial(base.chunks, name)))
            continue
        theirs = named.get(_core_name(name), "")
        if theirs not in output or output.tensors[theirs] != spec:
            raise QuantizeError(
                f"AutoRound did not write {name} as NVFP4 stores it",
                expected=str(spec),
                found=str(output.tensors.get(theirs, "no such tensor")),
                remedy="look into the quantize stage's log",
            )
        pieces.append(Piece(name, spec, partial(output.chunks, theirs)))
    return sorted(pieces, key=lambda piece: _natural(piece.name))


def _core_name(name: str) -> str:
    """A name without the wrappers that libraries nest in different orders."""
    return ".".join(part for part in name.split(".") if part not in _WRAPPERS)


def _by_core_name(output: Checkpoint) -> dict[str, str]:
    named = {_core_name(name): name for name in output.where}
    if len(named) != len(output.where):
        raise QuantizeError(f"{output.folder} holds one tensor under two names")
    return named


def _check_modules(modules: Iterable[str], named: Iterable[str]) -> None:
    wanted = {_core_name(module) for module in modules}
    done = {name.removesuffix(f".{PACKED}") for name in named if name.endswith(f".{PACKED}")}
    if wanted != done:
        less, more = sorted(wanted - done), sorted(done - wanted)
        raise QuantizeError(
            "AutoRound quantized other layers than the recipe asks for",
            expected=f"{len(wanted)} layers",
            found=f"{len(done)} layers; missing {less[:SHOWN]}, unasked {more[:SHOWN]}",
            remedy="compare the recipe's keep with the quantize stage's log",
        )


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts block 2 before block 10."""
    return [(int(p), "") if p.isdigit() else (-1, p) for p in re.split(r"(\d+)", name)]
