"""Layers on a card: in BF16 what the plain path gives, in FP8 close to it."""

from collections.abc import Iterator

import pytest
import torch

from tasks.kernels.eager import Eager
from tasks.kernels.linear import Pace, TunedLinear
from tasks.kernels.state import LayerState, Quanta, input_divisor
from tests.kernels.card import DEVICE, Fused, FusedPace

QUANTA = Quanta.of(10, 0.1, 0.1)
TOKENS, WIDTH, OUT = 32, 64, 48


def _data(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16().to(DEVICE)


def _layers(pace: Pace, divisor: torch.Tensor, count: int = 2) -> list[TunedLinear]:
    made = []
    for seed in range(count):
        weight = _data(seed, OUT, WIDTH)
        state = LayerState(weight, 448 * 6 / weight.float().abs().max(), QUANTA)
        made.append(TunedLinear(state, None, divisor, pace))
    return made


def _run(pace: Pace, tokens: int = TOKENS) -> Iterator[tuple[torch.Tensor, ...]]:
    """Two layers on one input: outputs, the input's gradient, the layers' offsets and drops."""
    pace.quanta.fill_(3)
    x = _data(9, 2, tokens // 2, WIDTH).requires_grad_()
    layers = _layers(pace, input_divisor(x.detach().abs().max()))
    outputs = [layer(x) for layer in layers]
    pace.forget()
    torch.autograd.backward(outputs, [_data(7 + n, *each.shape) for n, each in enumerate(outputs)])
    assert x.grad is not None
    yield tuple(each.detach() for each in outputs)
    yield (x.grad,)
    yield tuple(layer.state.offsets for layer in layers)
    yield tuple(layer.state.drops for layer in layers)


def test_in_bf16_all_is_as_on_the_plain_path() -> None:
    """Outputs, the input's gradient and steps are those of the eager kernels."""
    ours, theirs = _run(FusedPace(Fused(), DEVICE)), _run(Pace(Eager(), DEVICE))
    for made, wanted in zip(ours, theirs, strict=True):
        for one, other in zip(made, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=2**-7, atol=1e-2)


def test_in_fp8_outputs_are_the_same_and_steps_nearly() -> None:
    """The forward pass does not change; gradients are FP8's, and most signs are the same."""
    outputs, gradient, offsets, drops = _run(FusedPace(Fused("fp8"), DEVICE))
    wanted, exact, steps, falls = _run(FusedPace(Fused(), DEVICE))
    for one, other in zip(outputs, wanted, strict=True):
        assert torch.equal(one, other)
    error = (gradient[0] - exact[0]).float().norm() / exact[0].float().norm()
    assert 0 < float(error) < 0.06
    for ours, theirs in zip((*offsets, *drops), (*steps, *falls), strict=True):
        assert (ours == theirs).float().mean() > 0.93
    assert any((ours != theirs).any() for ours, theirs in zip(offsets, steps, strict=True))


def test_shapes_that_fp8_units_refuse_are_multiplied_in_bf16() -> None:
    """Ten tokens fill no FP8 product; everything is then as in BF16."""
    ours, theirs = _run(FusedPace(Fused("fp8"), DEVICE), 10), _run(FusedPace(Fused(), DEVICE), 10)
    for made, wanted in zip(ours, theirs, strict=True):
        assert all(map(torch.equal, made, wanted))


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_the_first_layers_step_without_a_gradient_to_their_input(precision: str) -> None:
    """A block's input asks for no gradient, and its layers step all the same."""
    pace = FusedPace(Fused(precision), DEVICE)
    pace.quanta.fill_(1)
    x = _data(9, TOKENS, WIDTH)
    (layer,) = _layers(pace, input_divisor(x.abs().max()), 1)
    torch.autograd.backward(layer(x).float().square().sum())
    assert layer.state.offsets.any()
    assert x.grad is None
