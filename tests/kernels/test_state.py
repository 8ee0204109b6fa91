"""Whole quanta against AutoRound's optimizer, and what a state refuses."""

import pytest
import torch
from auto_round.algorithms.quantization.sign_round.sign_sgd import SignSGD

from tasks.core.errors import QuantizeError
from tasks.kernels.state import LayerState, Quanta, factors_of


@pytest.mark.parametrize(("iterations", "rate"), [(10, 0.1), (200, 0.005), (255, 0.02), (300, 1)])
def test_quanta_are_autorounds_steps(iterations: int, rate: float) -> None:
    """Signed steps in whole quanta end where AutoRound's optimizer and its schedule end.

    AutoRound adds float32 steps, whose rounding is all that differs.
    """
    quanta = Quanta.of(iterations, rate, rate)
    generator = torch.Generator().manual_seed(iterations)
    signs = torch.randint(-1, 2, (iterations, 64), generator=generator)
    signs[:, 0], signs[:, 1] = 1, -1
    theirs = torch.zeros(64, requires_grad=True)
    optimizer = SignSGD([theirs], lr=torch.tensor(float(rate)))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, iterations)
    ours = torch.zeros(64, dtype=quanta.dtype)
    for i, sign in enumerate(signs):
        theirs.grad = sign.float()
        optimizer.step()
        schedule.step()
        ours -= sign.to(quanta.dtype) * (iterations - i)
    assert int(ours.abs().max()) == iterations * (iterations + 1) // 2
    torch.testing.assert_close(
        ours.float() * quanta.offset, theirs.detach(), rtol=1e-5, atol=rate * 1e-4
    )


def test_a_factor_stays_between_zero_and_one() -> None:
    """The largest drop gives 0, none gives 1 exactly."""
    quanta = Quanta.of(10, 0.1, 0.1)
    assert factors_of(torch.tensor([0, quanta.floor]), quanta).tolist() == [1.0, 0.0]


@pytest.mark.parametrize("bad", [float("inf"), float("nan")])
def test_a_weight_that_is_not_finite_is_refused(bad: float) -> None:
    """An infinity would make every group's scale zero, silently."""
    weight = torch.ones(2, 32)
    weight[1, 5] = bad
    with pytest.raises(QuantizeError, match="not finite"):
        LayerState(weight, torch.tensor(1.0), Quanta.of(10, 0.1, 0.1))
