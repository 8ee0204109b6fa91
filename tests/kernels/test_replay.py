"""What is recorded once, and what is fed to it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from tasks.kernels.fused.feed import fed, stacked
from tasks.kernels.fused.replay import WARM_UPS, Replay, graph
from tests.kernels.card import DEVICE


class Again:
    """Runs again what was recorded, as a graph does: on the tensors it was recorded with."""

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self.replays = 0

    def replay(self) -> None:
        """Run the call."""
        self.replays += 1
        self._call()


def _recorder() -> tuple[Callable[[Callable[[], None]], Again], list[Again]]:
    made: list[Again] = []

    def record(call: Callable[[], None]) -> Again:
        made.append(Again(call))
        return made[-1]

    return record, made


def _given(value: float, **others: Any) -> dict[str, Any]:
    return {"x": (torch.full((3,), value), None), "flag": True, **others}


def test_replaying_gives_what_calling_gives() -> None:
    """From the third call on the function is replayed on fresh values, and results stay apart."""
    record, recordings = _recorder()
    replay = Replay(lambda given: given["x"][0] * 2, record)
    results = [replay(_given(float(n))) for n in range(6)]
    assert [float(each[0]) for each in results] == [0, 2, 4, 6, 8, 10]
    assert [each.replays for each in recordings] == [6 - WARM_UPS]


@pytest.mark.parametrize(
    "other",
    [
        {"x": (torch.ones(4), None)},
        {"x": (torch.ones(3, dtype=torch.int64), None)},
        {"x": (torch.ones(3), torch.ones(1))},
        {"flag": False},
        {"flag": None},
        {"more": 1},
    ],
    ids=str,
)
def test_another_form_is_called_and_not_replayed(other: dict[str, Any]) -> None:
    """Other shapes, dtypes, plain values or keys than the recorded ones run as they are."""
    record, recordings = _recorder()
    seen: list[Any] = []

    def function(given: dict[str, Any]) -> torch.Tensor:
        seen.append(given)
        made: torch.Tensor = given["x"][0].sum()
        return made

    replay = Replay(function, record)
    for n in range(4):
        replay(_given(float(n)))
    wanted = _given(1.0) | other
    assert float(replay(wanted)) == float(wanted["x"][0].sum())
    assert seen[-1] is wanted
    assert recordings[0].replays == 2


def test_replaying_learns_as_calling_does() -> None:
    """A backward pass that writes into outer tensors gives the same values, bit for bit.

    On a card a CUDA graph is recorded and replayed.
    """

    def total(again: Callable[[Callable[[Any], torch.Tensor]], Any]) -> torch.Tensor:
        weight = torch.ones(64, device=DEVICE)

        def learn(x: torch.Tensor) -> torch.Tensor:
            leaf = weight.clone().requires_grad_()
            loss = (leaf * x).square().sum()
            (gradient,) = torch.autograd.grad(loss, leaf)
            weight.sub_(gradient, alpha=1e-3)
            return loss.detach()

        run = again(learn)
        generator = torch.Generator().manual_seed(1)
        for _ in range(8):
            run(torch.randn(64, generator=generator).to(DEVICE))
        return weight

    record = graph if DEVICE.type == "cuda" else Again
    replayed = total(lambda function: Replay(function, record))
    assert torch.equal(replayed, total(lambda function: function))


def test_batches_arrive_in_order_and_no_more_are_drawn() -> None:
    """Each batch comes with its own tensors, on the device."""
    drawn: list[list[int]] = []

    def batches() -> Any:
        for n in range(100):
            drawn.append([n, n + 1])
            yield drawn[-1]

    samples = [torch.full((1, 5), float(n)) for n in range(101)]

    def pick(batch: list[int]) -> dict[str, torch.Tensor]:
        return {"x": stacked([samples[n] for n in batch], 0, DEVICE)}

    for number, (batch, given) in enumerate(fed(batches(), pick, 7, DEVICE)):
        assert batch == [number, number + 1]
        assert given["x"].device.type == DEVICE.type
        assert given["x"][:, 0].tolist() == [number, number + 1]
    assert len(drawn) == 7
