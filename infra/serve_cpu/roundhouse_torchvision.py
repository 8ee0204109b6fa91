"""Lets a torchvision built for CUDA be imported beside a torch built for the CPU.

Its Python code attaches shape functions to the operators `torchvision::nms` and `::qnms`, which its
C library would have defined; that library needs CUDA's and does not load. Defining the two (without
an implementation: nothing here calls them) is all that the import lacks. Images are resized in
plain PyTorch.

Loaded at the start of each Python by `roundhouse_torchvision.pth`, so it imports nothing until
torchvision is asked for. It does nothing where torch has CUDA.
"""

import sys

OPERATORS = ("nms", "qnms")
SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class OperatorsFirst:
    """A finder that finds nothing, but defines the operators when torchvision is looked for."""

    library: object = None

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        """Called by the import system for each module that is not loaded yet."""
        del path, target
        if name == "torchvision":
            sys.meta_path.remove(self)
            self._define()

    def _define(self) -> None:
        import torch

        if torch.version.cuda is None and not hasattr(torch.ops.torchvision, OPERATORS[0]):
            # Operators live as long as their library object: the class keeps it.
            OperatorsFirst.library = library = torch.library.Library("torchvision", "DEF")  # type: ignore[no-untyped-call]
            for operator in OPERATORS:
                library.define(operator + SIGNATURE)  # type: ignore[no-untyped-call]


sys.meta_path.insert(0, OperatorsFirst())
