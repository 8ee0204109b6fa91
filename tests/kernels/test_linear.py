"""Tuned layers: what is shared, what is skipped, and that a step follows the true gradient."""

import torch
from torch.nn import functional

from tasks.kernels.eager import Eager
from tasks.kernels.linear import Pace, TunedLinear
from tasks.kernels.reference import gradients, input_gradient, quantize_input, quantize_weight
from tasks.kernels.state import LayerState, Quanta, input_divisor

QUANTA = Quanta.of(10, 0.1, 0.1)


class Counting(Eager):
    """Counts the inputs that are quantized."""

    def __init__(self) -> None:
        self.inputs = 0

    def quantize_input(self, x: torch.Tensor, divisor: torch.Tensor) -> torch.Tensor:
        """Count, and quantize."""
        self.inputs += 1
        return super().quantize_input(x, divisor)


def _layer(seed: int, divisor: torch.Tensor, pace: Pace) -> TunedLinear:
    weight = torch.randn(24, 32, generator=torch.Generator().manual_seed(seed))
    state = LayerState(weight, 448 * 6 / weight.abs().max(), QUANTA)
    return TunedLinear(state, torch.full((24,), 0.5), divisor, pace)


def test_output_gradient_and_step_are_those_of_the_formula() -> None:
    """Against plain autograd through the reference's weight: output, gradient to x, and steps."""
    pace = Pace(Eager(), torch.device("cpu"))
    pace.quanta.fill_(7)
    x = torch.randn(3, 5, 32, generator=torch.Generator().manual_seed(1), requires_grad=True)
    layer = _layer(2, input_divisor(x.abs().max()), pace)
    state = layer.state
    zeros = torch.zeros_like(state.weight)
    weight = quantize_weight(state.weight, zeros, state.factors, state.divisor).weight
    weight.requires_grad_()
    quantized = quantize_input(x.detach(), layer.divisor).detach().requires_grad_()
    wanted = functional.linear(quantized, weight, layer.bias)
    made = layer(x)
    assert torch.equal(made, wanted)
    torch.autograd.backward((wanted.square().sum(), made.square().sum()))
    assert x.grad is not None
    assert quantized.grad is not None
    assert weight.grad is not None
    torch.testing.assert_close(x.grad, input_gradient(x.detach(), layer.divisor, quantized.grad))
    to_offsets, _ = gradients(
        state.weight, zeros, torch.ones_like(state.peaks), state.divisor, weight.grad
    )
    assert torch.equal(state.offsets.float(), -7 * torch.sign(to_offsets))


def test_layers_with_one_input_quantize_it_once() -> None:
    """Two layers share a copy; another input, a changed one or another scale gets its own."""
    kernels = Counting()
    pace = Pace(kernels, torch.device("cpu"))
    x = torch.randn(4, 32)
    divisor = input_divisor(x.abs().max())
    one, two = _layer(1, divisor, pace), _layer(2, divisor, pace)
    one(x), two(x)
    assert kernels.inputs == 1
    two(x.clone())
    assert kernels.inputs == 2
    _layer(3, divisor * 2, pace)(x)
    assert kernels.inputs == 3
    x.mul_(2)
    _layer(3, divisor * 2, pace)(x)
    assert kernels.inputs == 4


def test_an_input_without_gradient_still_lets_the_layer_step() -> None:
    """The first layers of a block step, and no gradient to the block's input is computed."""
    pace = Pace(Eager(), torch.device("cpu"))
    pace.quanta.fill_(1)
    x = torch.randn(4, 32)
    layer = _layer(1, input_divisor(x.abs().max()), pace)
    torch.autograd.backward(layer(x).sum())
    assert layer.state.offsets.any()
    assert x.grad is None
