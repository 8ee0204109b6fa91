"""Geometry of the report's two plots, for the template to draw as inline SVG."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tasks.validate.compare import TextResult

WIDTH, HEIGHT = 420.0, 200.0
BINS = 16


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram: place and size in SVG units, and what a pointer over it reads."""

    x: float
    y: float
    width: float
    height: float
    title: str


@dataclass(frozen=True)
class Histogram:
    """Bars, and the largest value of the horizontal and the vertical axis."""

    bars: tuple[Bar, ...]
    most: float
    count: int


@dataclass(frozen=True)
class Dot:
    """One text: place in SVG units, and what a pointer over it reads."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Scatter:
    """Dots, and the range that both axes show."""

    dots: tuple[Dot, ...]
    least: float
    most: float


def divergences(texts: Sequence[TextResult]) -> Histogram:
    """How many texts have which mean KL divergence."""
    values = [text.mean_kl for text in texts]
    most = max([*values, 1e-9])
    counts, edges = np.histogram(values, bins=BINS, range=(0.0, most))
    tallest, step = int(counts.max()), WIDTH / BINS
    bars = tuple(
        Bar(
            x=round(number * step, 2),
            y=round(HEIGHT * (1 - count / tallest), 2),
            width=round(step - 1, 2),
            height=round(HEIGHT * count / tallest, 2),
            title=f"{count} texts, KL {edges[number]:.4f} to {edges[number + 1]:.4f}",
        )
        for number, count in enumerate(counts.tolist())
    )
    return Histogram(bars, most, tallest)


def losses(texts: Sequence[TextResult]) -> Scatter:
    """The candidate's loss over the base's, a dot for each text."""
    values = [value for text in texts for value in (text.base_loss, text.loss)]
    least, most = min(values), max(values)
    scale = (most - least) or 1.0
    dots = tuple(
        Dot(
            x=round(WIDTH * (text.base_loss - least) / scale, 2),
            y=round(HEIGHT * (1 - (text.loss - least) / scale), 2),
            title=f"text {number}: base {text.base_loss:.3f}, candidate {text.loss:.3f}",
        )
        for number, text in enumerate(texts)
    )
    return Scatter(dots, least, most)
