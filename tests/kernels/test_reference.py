"""The reference against AutoRound's own functions and their autograd gradients."""

import torch
from auto_round.data_type.nvfp import nv_fp4, nv_fp4_with_static_gs
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.kernels.reference import gradients, input_gradient, quantize_input, quantize_weight
from tasks.kernels.state import input_divisor
from tests.kernels.layers import Case, cases


@settings(max_examples=150, deadline=None)
@given(case=cases)
def test_weights_are_autorounds_to_the_bit(case: Case) -> None:
    """Weight and scales equal AutoRound's, whatever the offsets, factors, zeros and ties."""
    theirs, scales, _ = nv_fp4(
        case.weight, v=case.offsets.view(-1, 16), max_scale=case.factors, global_scale=case.divisor
    )
    ours = quantize_weight(case.weight, case.offsets, case.factors, case.divisor)
    assert ours.weight.dtype == case.weight.dtype
    assert torch.equal(ours.weight, theirs)
    assert torch.equal(ours.scales.stored, scales)


@settings(max_examples=150, deadline=None)
@given(case=cases)
def test_gradients_are_autorounds(case: Case) -> None:
    """Gradients to offsets are autograd's to the bit, to factors within rounding.

    AutoRound's are NaN for the factors of groups without a scale; a signed step of NaN is none.
    """
    offsets = case.offsets.view(-1, 16).clone().requires_grad_()
    factors = case.factors.clone().requires_grad_()
    made, _, _ = nv_fp4(case.weight, v=offsets, max_scale=factors, global_scale=case.divisor)
    made.backward(case.gradient)
    to_offsets, to_factors = gradients(
        case.weight, case.offsets, case.factors, case.divisor, case.gradient
    )
    assert offsets.grad is not None
    assert factors.grad is not None
    assert torch.equal(to_offsets.view(-1, 16), offsets.grad)
    expected = factors.grad.nan_to_num(0.0)
    torch.testing.assert_close(
        to_factors, expected, rtol=1e-4, atol=float(expected.abs().max()) * 1e-5
    )


def _noise(dtype: torch.dtype) -> float:
    """AutoRound's autograd adds both parts in the activation's own dtype."""
    return 1e-2 if dtype == torch.bfloat16 else 1e-5


@settings(max_examples=80, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    share=st.floats(0.1, 1.5),
)
def test_activations_are_autorounds_to_the_bit(seed: int, dtype: torch.dtype, share: float) -> None:
    """A fixed global scale smaller or larger than the activation's own gives AutoRound's values.

    So does the gradient, where one value of a group is the largest; AutoRound's is NaN in a group
    of zeros.
    """
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(2, 5, 48, generator=generator) * 7).to(dtype)
    x[0, 0] = 0
    x.requires_grad_()
    largest = (x.detach().abs().max() * share).view(1)
    theirs, _, _ = nv_fp4_with_static_gs(x, tensor_max=largest)
    divisor = input_divisor(largest)
    assert torch.equal(quantize_input(x, divisor), theirs)

    gradient = torch.randn(x.shape, generator=generator).to(dtype)
    theirs.backward(gradient)
    assert x.grad is not None
    size = x.detach().view(-1, 16).abs()
    single = (size == size.amax(1, keepdim=True)).sum(1) == 1
    ours = input_gradient(x.detach(), divisor, gradient).view(-1, 16)[single]
    expected = x.grad.view(-1, 16)[single].nan_to_num(0.0)
    torch.testing.assert_close(ours, expected, rtol=2**-6, atol=_noise(dtype))


def test_an_activation_of_zeros_stays() -> None:
    """A layer whose inputs were all zero has no scale, and gives zeros."""
    x = torch.zeros(2, 32)
    assert torch.equal(quantize_input(x, input_divisor(x.abs().max())), x)
