"""The Triton kernels against the reference, to the bit."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.kernels.eager import Eager
from tasks.kernels.nvfp4 import E2M1
from tasks.kernels.reference import (
    gradients,
    group_scales,
    input_gradient,
    quantize_input,
    quantize_weight,
)
from tasks.kernels.state import LayerState, Quanta, input_divisor
from tests.kernels.card import DEVICE, Fused, casts
from tests.kernels.layers import Case, cases, make

ITERATIONS = 200
QUANTA = Quanta.of(ITERATIONS, 1 / ITERATIONS, 1 / ITERATIONS)
EIGHT = torch.float8_e4m3fn
WIDTHS = (576, 1536, 2048, 4096, 5376, 8192, 14336, 16384, 21504)
"""Columns of layers: SmolLM2 135M, Qwen 3, Llama 3 8B, Gemma 4 31B."""
SOME = settings(max_examples=30, deadline=None)
precisions = st.sampled_from(["bf16", "fp8"])


def _state(case: Case, quanta: Quanta = QUANTA) -> LayerState:
    state = LayerState(case.weight.to(DEVICE), case.divisor, quanta)
    state.offsets = (case.offsets / quanta.offset).round().to(quanta.dtype).to(DEVICE)
    state.drops = ((1 - case.factors) / quanta.factor).round().to(quanta.dtype).to(DEVICE)
    return state


def _wanted(state: LayerState) -> torch.Tensor:
    """The reference's weight for the present offsets and factors, made on the CPU."""
    offsets = state.offsets.cpu().float() * state.quanta.offset
    factors = state.factors.cpu()
    return quantize_weight(state.weight.cpu(), offsets, factors, state.divisor.cpu()).weight


def _scalar(value: object, dtype: torch.dtype) -> torch.Tensor:
    return torch.tensor(value, dtype=dtype, device=DEVICE)


def _step(
    kernels: Fused, state: LayerState, gradient: torch.Tensor, left: int, *, better: bool
) -> None:
    pace, flag = _scalar(left, torch.int32), _scalar(better, torch.bool)
    kernels.step(state, gradient.to(DEVICE), pace, flag)


def _check_turned(kernels: Fused, state: LayerState) -> None:
    """The transposed copy is the weight within e4m3's rounding."""
    made = kernels.made(state)
    if made.turned is None:
        assert kernels.precision == "bf16" or len(state.weight) % 16
        return
    back = made.turned.t().float() * made.scale
    least = float(made.scale) * 2**-9
    torch.testing.assert_close(back, made.weight.float(), rtol=2**-4, atol=least)


@SOME
@given(case=cases, precision=precisions)
def test_weights_equal_the_reference(case: Case, precision: str) -> None:
    """Every value is the reference's, in shapes that fill no tile: ties, zeros, empty groups."""
    kernels, state = Fused(precision), _state(case)
    assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))
    _check_turned(kernels, state)


@SOME
@given(case=cases, left=st.integers(1, ITERATIONS), better=st.booleans(), precision=precisions)
def test_steps_follow_the_references_signs(
    case: Case, left: int, *, better: bool, precision: str
) -> None:
    """Offsets and drops move as the reference's signs say, and the next weight is made of them.

    Offsets of a group without a scale decide nothing. Slopes are sums, certain up to rounding.
    """
    kernels, state = Fused(precision), _state(case)
    before, drops = state.offsets.clone(), state.drops.clone()
    offsets, factors = before.cpu().float() * QUANTA.offset, state.factors.cpu()
    to_offsets, to_factors = gradients(case.weight, offsets, factors, case.divisor, case.gradient)
    scaled = quantize_weight(case.weight, offsets, factors, case.divisor).scales.stored > 0
    _step(kernels, state, case.gradient, left, better=better)
    live = scaled.expand(-1, 16).reshape(before.shape)
    expected = before.cpu() - left * torch.sign(to_offsets)
    assert torch.equal(state.offsets.cpu().float()[live], expected[live])
    certain = to_factors.abs() > to_factors.abs().max() * 1e-6
    moved = (drops.cpu() + left * torch.sign(to_factors)).clamp(0, QUANTA.floor)
    assert torch.equal(state.drops.cpu().float()[certain], moved[certain])
    assert torch.equal(state.best_offsets, before if better else torch.zeros_like(before))
    assert torch.equal(state.best_drops, drops if better else torch.zeros_like(drops))
    assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))
    _check_turned(kernels, state)


@pytest.mark.parametrize(
    ("width", "precision"),
    [*((width, "bf16") for width in WIDTHS), (576, "fp8"), (5376, "fp8"), (21504, "fp8")],
)
def test_layers_of_models_are_rounded_and_stepped_as_the_reference_does(
    width: int, precision: str
) -> None:
    """At the widths that models have: the weight, two steps, and the weight after each."""
    rows = 16 if precision == "fp8" else 5
    case = make(width, rows, width // 16, torch.bfloat16, 8)
    kernels, state, plain = Fused(precision), _state(case), _state(case)
    assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))
    for left in (200, 7):
        state.drops.copy_(plain.drops)  # a slope within rounding of zero may go either way
        _step(kernels, state, case.gradient, left, better=left == 7)
        assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))
        Eager().step(
            plain, case.gradient.to(DEVICE), _scalar(left, torch.int32),
            _scalar(left == 7, torch.bool),
        )  # fmt: skip
        assert torch.equal(state.offsets, plain.offsets)
        assert (state.drops != plain.drops).float().mean() < 1e-3
    assert torch.equal(state.best_offsets, plain.best_offsets)
    _check_turned(kernels, state)


def test_a_changed_offset_is_seen() -> None:
    """Whoever changes offsets or drops from outside gets the weight they give."""
    kernels, state = Fused(), _state(make(1, 4, 3, torch.bfloat16, 8))
    first = kernels.quantize_weight(state).clone()
    assert kernels.quantize_weight(state) is kernels.quantize_weight(state)
    state.offsets.add_(60)
    assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))
    assert not torch.equal(kernels.quantize_weight(state), first)
    state.offsets = torch.zeros_like(state.offsets)
    assert torch.equal(kernels.quantize_weight(state).cpu(), _wanted(state))


def test_long_runs_use_wider_integers() -> None:
    """Above 255 iterations offsets take 32 bits."""
    quanta = Quanta.of(300, 1 / 300, 1 / 300)
    case = make(11, 5, 3, torch.float32, 8)
    state = LayerState(case.weight.to(DEVICE), case.divisor, quanta)
    plain = LayerState(case.weight, case.divisor, quanta)
    for left in (300, 299, 298):
        _step(Fused(), state, case.gradient, left, better=False)
        Eager().step(plain, case.gradient, torch.tensor(left), torch.tensor(data=False))
    assert state.offsets.dtype == torch.int32
    assert torch.equal(state.offsets.cpu(), plain.offsets)


@SOME
@given(
    seed=st.integers(0, 2**32 - 1),
    tokens=st.sampled_from([1, 7, 16, 48]),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    share=st.floats(0.1, 1.5),
)
def test_activations_equal_the_reference(
    seed: int, tokens: int, dtype: torch.dtype, share: float
) -> None:
    """Values are the reference's to the bit, gradients within rounding; contiguous or not."""
    generator = torch.Generator().manual_seed(seed)
    x = (torch.randn(2, tokens, 160, generator=generator) * 7).to(dtype)[:, :, :80]
    x[0, 0] = 0
    divisor = input_divisor(x.abs().max() * share)
    made, turned = Fused().both_inputs(x.to(DEVICE), divisor.to(DEVICE), turn=True)
    wanted = quantize_input(x, divisor)
    assert torch.equal(made.cpu(), wanted)
    assert (turned is None) == bool(2 * tokens % 16)
    if turned is not None:
        back = turned.cpu().t().float() * (6 / divisor)
        least = float(6 / divisor) * 2**-9
        torch.testing.assert_close(back, wanted.float().view(-1, 80), rtol=2**-4, atol=least)
    gradient = torch.randn(x.shape, generator=generator).to(dtype)
    ours = Fused().input_gradient(x.to(DEVICE), divisor.to(DEVICE), gradient.to(DEVICE)).cpu()
    assert ours.dtype == dtype
    torch.testing.assert_close(ours, input_gradient(x, divisor, gradient), rtol=2**-7, atol=1e-5)


def test_scales_equal_the_reference_over_the_whole_range() -> None:
    """Scales below the least e4m3 value, between all of them, on ties and beyond 448."""
    table = torch.arange(127, dtype=torch.uint8).view(EIGHT).float()
    ties = (table[1:] + table[:-1]) / 2
    peaks = torch.cat((table, ties, ties.nextafter(table[1:]), torch.tensor([449.0, 1e9]))) * 6
    x = peaks[:, None] * torch.tensor([1.0, *E2M1, *E2M1[1:]])[None, :16] / 6
    x[:, 0] = peaks
    for value in (1.0, 0.37):
        divisor = torch.tensor(value)
        made = Fused().quantize_input(x.to(DEVICE), divisor.to(DEVICE)).cpu()
        assert torch.equal(made, quantize_input(x, divisor))
        assert len(set(group_scales(peaks, torch.ones(()), divisor).stored.tolist())) > 100


def test_zeros_stay_zeros() -> None:
    """Without any scale: an activation, a weight and their gradients."""
    zeros = torch.zeros(16, 32, device=DEVICE)
    nothing = input_divisor(zeros.abs().max())
    kernels = Fused("fp8")
    made, turned = kernels.both_inputs(zeros, nothing, turn=True)
    assert turned is not None
    assert not made.any()
    assert not turned.float().any()
    assert not kernels.input_gradient(zeros, nothing, torch.ones_like(zeros)).any()
    state = LayerState(zeros, nothing, QUANTA)
    _step(kernels, state, torch.ones(16, 32), 5, better=False)
    assert not kernels.made(state).weight.any()
    assert not state.drops.any()


@SOME
@given(
    seed=st.integers(0, 2**32 - 1),
    sides=st.one_of(
        st.tuples(st.integers(1, 70), st.integers(1, 70)),
        st.tuples(st.sampled_from([16, 32, 48, 64, 80]), st.sampled_from([16, 32, 64, 112])),
    ),
    size=st.integers(-20, 20),
    dtype=st.sampled_from([torch.bfloat16, torch.float32]),
    plain=st.booleans(),
)
def test_casts_equal_torchs(
    seed: int, sides: tuple[int, int], size: int, dtype: torch.dtype, *, plain: bool
) -> None:
    """Both layouts hold what torch's own conversion gives, scaled so that the largest is 448.

    Sides that divide by 16 make Triton load and store vectors.
    """
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(sides, generator=generator).bfloat16() * 2.0**size
    made = casts.cast(x.to(DEVICE, dtype), plain=plain)
    ratio = torch.tensor(448.0) / x.float().abs().max()
    wanted = (x.float() * ratio).clamp(-448, 448).to(EIGHT).float()
    assert torch.equal(made.turned.cpu().float().t(), wanted)
    assert (made.plain is not None) == plain
    if made.plain is not None:
        assert torch.equal(made.plain.cpu().float(), wanted)
    assert float(made.scale) == pytest.approx(1 / float(ratio), rel=1e-6)


def test_a_cast_of_zeros_is_zeros() -> None:
    """Nothing is divided by the largest magnitude of nothing."""
    made = casts.cast(torch.zeros(3, 5, device=DEVICE), plain=True)
    assert made.plain is not None
    assert not made.plain.float().any()
    assert not made.turned.float().any()
