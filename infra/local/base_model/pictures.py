"""Pictures with one coloured shape on a plain ground."""

import random
from dataclasses import dataclass

from PIL import Image, ImageDraw

from infra.local.base_model.words import COLOURS, SHAPES

GROUNDS = ((245, 245, 245), (128, 128, 128), (15, 15, 15))
JITTER = 14
SMALLEST, LARGEST = 96, 320
RADIUS = (0.28, 0.45)
SQUARE = 0.85  # half a square's side, in radii


@dataclass(frozen=True)
class Picture:
    """What a picture shows: a colour and a shape of ``words``."""

    colour: str
    shape: str


def choose(rng: random.Random) -> Picture:
    """Choose a colour and a shape."""
    return Picture(rng.choice(list(COLOURS)), rng.choice(SHAPES))


def draw(picture: Picture, rng: random.Random, size: tuple[int, int] | None = None) -> Image.Image:
    """Draw ``picture`` in RGB, of ``size`` (width, height in pixels) or of a size by chance."""
    width, height = size or (rng.randint(SMALLEST, LARGEST), rng.randint(SMALLEST, LARGEST))
    image = Image.new("RGB", (width, height), _near(rng.choice(GROUNDS), rng))
    radius = min(width, height) * rng.uniform(*RADIUS)
    x, y = rng.uniform(radius, width - radius), rng.uniform(radius, height - radius)
    pen, fill = ImageDraw.Draw(image), _near(COLOURS[picture.colour], rng)
    if picture.shape == "circle":
        pen.ellipse([x - radius, y - radius, x + radius, y + radius], fill=fill)
    elif picture.shape == "square":
        half = radius * SQUARE
        pen.rectangle([x - half, y - half, x + half, y + half], fill=fill)
    else:
        base = y + radius
        pen.polygon([(x, y - radius), (x - radius, base), (x + radius, base)], fill=fill)
    return image


def _near(colour: tuple[int, int, int], rng: random.Random) -> tuple[int, int, int]:
    red, green, blue = (max(0, min(255, value + rng.randint(-JITTER, JITTER))) for value in colour)
    return red, green, blue
