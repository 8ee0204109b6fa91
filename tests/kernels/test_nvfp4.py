"""NVFP4 in plain torch, against compressed-tensors and by properties."""

import pytest
import torch
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.kernels.nvfp4 import E2M1, Packed, decode, encode, pack, unpack

SCHEME = QuantizationScheme(
    targets=["Linear"],
    weights=QuantizationArgs(
        num_bits=4, type="float", strategy="tensor_group", group_size=16, symmetric=True
    ),
)
seeds = st.integers(0, 2**32 - 1)


def _random(seed: int, rows: int, groups: int) -> Packed:
    """Codes and scales drawn evenly: every code, every scale but NaN, a wide global scale."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 256, (rows, groups * 8), generator=generator, dtype=torch.uint8)
    scale = torch.randint(0, 127, (rows, groups), generator=generator, dtype=torch.uint8)
    divisor = torch.exp(torch.randn(1, generator=generator) * 8)
    return Packed(codes, scale.view(torch.float8_e4m3fn), divisor)


@settings(max_examples=60, deadline=None)
@given(seed=seeds, rows=st.integers(1, 9), groups=st.integers(1, 7))
def test_decode_equals_compressed_tensors_bit_for_bit(seed: int, rows: int, groups: int) -> None:
    """Decoding any codes and scales gives the library's weight, to the bit."""
    weight = _random(seed, rows, groups)
    state = {
        "weight_packed": weight.codes,
        "weight_scale": weight.scale,
        "weight_global_scale": weight.global_scale,
    }
    theirs = NVFP4PackedCompressor.decompress(state, SCHEME)["weight"]
    ours = decode(weight)
    assert ours.dtype == theirs.dtype == torch.bfloat16
    assert torch.equal(ours.view(torch.int16), theirs.view(torch.int16))


@settings(max_examples=60, deadline=None)
@given(seed=seeds, rows=st.integers(1, 9), groups=st.integers(1, 7))
def test_encode_equals_compressed_tensors(seed: int, rows: int, groups: int) -> None:
    """Rounding a weight on given scales gives the values of the library's codes."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(rows, groups * 16, generator=generator).bfloat16()
    weight = encode(dense)
    state = {
        "weight": dense.float(),
        "weight_scale": weight.scale.float(),
        "weight_global_scale": weight.global_scale,
    }
    theirs = NVFP4PackedCompressor.compress(state, SCHEME)["weight_packed"]
    assert torch.equal(decode(weight), decode(weight._replace(codes=theirs)))


@given(seed=seeds, rows=st.integers(1, 5), pairs=st.integers(1, 40))
def test_unpack_undoes_pack(seed: int, rows: int, pairs: int) -> None:
    """Packing and unpacking gives back any codes, and the even column lies in the low nibble."""
    generator = torch.Generator().manual_seed(seed)
    codes = torch.randint(0, 16, (rows, pairs * 2), generator=generator, dtype=torch.uint8)
    assert torch.equal(unpack(pack(codes)), codes)
    assert torch.equal(pack(codes) % 16, codes[:, ::2])


@settings(deadline=None)
@given(seed=seeds)
def test_encoding_what_was_decoded_changes_nothing(seed: int) -> None:
    """A weight that NVFP4 can hold is held exactly."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(4, 64, generator=generator)
    once = encode(dense)
    assert torch.equal(decode(encode(decode(once), once.global_scale)), decode(once))


@settings(deadline=None)
@given(seed=seeds)
def test_the_nearest_code_is_taken(seed: int) -> None:
    """No other code lies nearer to the weight than the one that was taken."""
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(2, 32, generator=generator)
    weight = encode(dense)
    step = (weight.scale.float() / weight.global_scale).repeat_interleave(16, dim=1)
    ladder = torch.tensor([*E2M1, *(-value for value in E2M1)])
    distances = (dense[..., None] - ladder * step[..., None]).abs()
    taken = distances.gather(2, unpack(weight.codes).long()[..., None])[..., 0]
    torch.testing.assert_close(taken, distances.amin(dim=2))


@pytest.mark.parametrize("value", [0.0, 1e-30])
def test_groups_that_underflow_are_zero(value: float) -> None:
    """A group too small for its scale is stored as zeros, without NaN."""
    dense = torch.full((2, 32), value)
    dense[0, 0] = 5.0 if value else 0.0
    weight = encode(dense)
    assert torch.isfinite(decode(weight)).all()
    assert torch.equal(decode(weight)[1], torch.zeros(32, dtype=torch.bfloat16))
