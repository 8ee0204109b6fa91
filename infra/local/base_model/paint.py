"""Paint pictures on the training device, in the patches that the image processor makes.

The same pictures as ``pictures.draw``: ground, colour and place by chance, edges more or less
soft as resizing leaves them. Hundreds of thousands are needed, too many to draw beforehand.
"""

import torch

from infra.local.base_model.config import MAX_PATCHES, PATCH
from infra.local.base_model.pictures import GROUNDS, JITTER, RADIUS, SQUARE
from infra.local.base_model.words import COLOURS

_SOFTEST = 2.8  # pixels
_NOISE = 0.004


def paint(code: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Paint pictures.

    Args:
        code: (pictures, 4) integers: colour, shape, patches high, patches wide.
        generator: of the pictures' device.

    Returns:
        Patches (pictures, 630, 768) float32 from 0 to 1, and their column and row
        (pictures, 630, 2) int64; patches beyond the picture are zero, at -1.
    """
    device, count = code.device, len(code)
    high, wide = code[:, 2:3].long(), code[:, 3:4].long()
    index = torch.arange(MAX_PATCHES, device=device)[None]
    inside, column, row = index < high * wide, index % wide, index // wide
    cover = _cover(code, column, row, high, wide, generator)[..., None]
    fill = _shades(
        torch.tensor(list(COLOURS.values()), device=device)[code[:, 0].long()], generator
    )
    pick = torch.randint(len(GROUNDS), (count,), device=device, generator=generator)
    ground = _shades(torch.tensor(GROUNDS, device=device)[pick], generator)
    pixels = ground + (fill - ground) * cover
    grain = _uniform(generator, *pixels.shape) - 0.5
    pixels = (pixels / 255 + _NOISE * grain).clamp(0, 1).reshape(count, MAX_PATCHES, -1)
    places = torch.stack([column, row], -1)
    return (
        torch.where(inside[..., None], pixels, 0.0),
        torch.where(inside[..., None], places, -1),
    )


def _cover(
    code: torch.Tensor,
    column: torch.Tensor,
    row: torch.Tensor,
    high: torch.Tensor,
    wide: torch.Tensor,
    generator: torch.Generator,
) -> torch.Tensor:
    """Give how much of each pixel (pictures, patches, 16, 16) the shape covers, 0 to 1."""
    count = len(code)
    offset = torch.arange(PATCH, device=code.device) + 0.5
    x = column[..., None, None] * PATCH + offset[None, None, None, :]
    y = row[..., None, None] * PATCH + offset[None, None, :, None]
    width, height = wide * float(PATCH), high * float(PATCH)
    low, top = RADIUS
    radius = torch.minimum(width, height) * (low + (top - low) * _uniform(generator, count, 1))
    dx = x - _wide(radius + (width - 2 * radius) * _uniform(generator, count, 1))
    dy = y - _wide(radius + (height - 2 * radius) * _uniform(generator, count, 1))
    shape, r = _wide(code[:, 1:2]), _wide(radius)
    circle = r - (dx**2 + dy**2).sqrt()
    square = SQUARE * r - torch.maximum(dx.abs(), dy.abs())
    # 0.9 turns the height over the slanted side into about its distance (2 / sqrt 5).
    triangle = torch.minimum(r - dy, ((dy + r) / 2 - dx.abs()) * 0.9)
    depth = torch.where(shape == 0, circle, torch.where(shape == 1, square, triangle))
    softness = 0.3 + (_SOFTEST - 0.3) * _uniform(generator, count, 1)
    return torch.sigmoid(2 * depth / _wide(softness))


def _shades(colours: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    jitter = (2 * _uniform(generator, *colours.shape) - 1) * JITTER
    return (colours + jitter).clamp(0, 255)[:, None, None, None]


def _wide(values: torch.Tensor) -> torch.Tensor:
    return values[..., None, None]


def _uniform(generator: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.rand(*shape, device=generator.device, generator=generator)
