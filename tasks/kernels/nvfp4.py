"""NVFP4 in plain torch, to be read and to be compared with: encode, pack, unpack, decode.

A weight w of shape [out, in] is split along `in` into groups of 16. With

    G = 448 * 6 / max |w|            one float32 divisor for the tensor
    s = e4m3(max |w in group| / 6 * G)      one scale a group
    c = e2m1(w * G / s)              one 4-bit code a weight

the stored weight stands for e2m1(c) * (s / G). A code is sign (8), exponent and mantissa (0-7, an
index into `E2M1`); two codes share a byte, the even column in the low nibble.

Sources: the E2M1 and E4M3 tables of the OCP Microscaling formats specification 1.0;
compressed-tensors' `NVFP4PackedCompressor`, which `decode` equals bit for bit.
"""

from typing import NamedTuple

import torch

from tasks.core.schemes import E2M1_MAX, E4M3_MAX, GROUP

E2M1 = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0)
SIGN = 8
NIBBLE = 4
LOW = 0x0F


class Packed(NamedTuple):
    """A weight as it is stored.

    Attributes:
        codes: uint8 [out, in / 2], two codes a byte.
        scale: float8_e4m3fn [out, in / 16].
        global_scale: float32 [1], a divisor.
    """

    codes: torch.Tensor
    scale: torch.Tensor
    global_scale: torch.Tensor


def pack(codes: torch.Tensor) -> torch.Tensor:
    """Two codes a byte, low nibble first: uint8 [out, in] of 0-15 to uint8 [out, in / 2]."""
    return codes[:, 0::2] | codes[:, 1::2] << NIBBLE


def unpack(packed: torch.Tensor) -> torch.Tensor:
    """The inverse of `pack`: uint8 [out, in / 2] to uint8 [out, in] of 0-15."""
    return torch.stack((packed & LOW, packed >> NIBBLE), dim=-1).flatten(start_dim=1)


def decode(weight: Packed) -> torch.Tensor:
    """The weight that is stood for, bfloat16 [out, in]."""
    magnitudes = torch.tensor(E2M1)
    values = torch.cat((magnitudes, -magnitudes))[unpack(weight.codes).long()]
    scale = weight.scale.float() / weight.global_scale
    return (values * scale.repeat_interleave(GROUP, dim=1)).bfloat16()


def encode(weight: torch.Tensor, global_scale: torch.Tensor | None = None) -> Packed:
    """Round a weight to the nearest NVFP4, ties to the even code.

    Args:
        weight: [out, in], floating; `in` divides by 16.
        global_scale: float32 [1]; given where layers share one, else made from the weight.
    """
    groups = weight.float().reshape(len(weight), -1, GROUP)
    peaks = groups.abs().amax(dim=2)
    if global_scale is None:
        global_scale = (E4M3_MAX * E2M1_MAX / peaks.max().clamp_min(1e-30)).reshape(1)
    scale = (peaks / E2M1_MAX * global_scale).clamp_max(E4M3_MAX).to(torch.float8_e4m3fn)
    step = scale.float() / global_scale
    scaled = groups / torch.where(step == 0, torch.inf, step)[..., None]
    return Packed(pack(_nearest(scaled).flatten(start_dim=1)), scale, global_scale)


def _nearest(scaled: torch.Tensor) -> torch.Tensor:
    """Codes of the nearest E2M1 values; uint8 of the same shape."""
    magnitudes = torch.tensor(E2M1)
    midpoints = (magnitudes[1:] + magnitudes[:-1]) / 2
    size = scaled.abs().contiguous()
    below, above = torch.bucketize(size, midpoints), torch.bucketize(size, midpoints, right=True)
    codes = torch.where(below % 2 == 0, below, above)  # they differ on a midpoint only
    return codes.to(torch.uint8) | torch.signbit(scaled).to(torch.uint8) * SIGN
