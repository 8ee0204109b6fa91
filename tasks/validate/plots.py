"""Geometry of the report's plots, for the template to draw as inline SVG."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from tasks.core.gate_records import Measure, Stratum
from tasks.validate.compare import TextResult
from tasks.validate.second import BlockError, LayerError

WIDTH, HEIGHT, ROW = 420.0, 200.0, 26.0
PLACE = re.compile(r"\blayers\.(\d+)\.(.+)$")
TINY = 1e-12


@dataclass(frozen=True)
class Span:
    """One row: from where to where its line runs, its dot, and its words."""

    y: float
    begin: float
    dot: float
    end: float
    name: str
    title: str


@dataclass(frozen=True)
class Spans:
    """Rows over one axis that begins at 0; lines of reference as place and words."""

    rows: tuple[Span, ...]
    height: float
    most: float
    marks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Dot:
    """One point: place in SVG units, and what a pointer over it reads."""

    x: float
    y: float
    title: str


@dataclass(frozen=True)
class Scatter:
    """Dots, and the range that both axes show."""

    dots: tuple[Dot, ...]
    least: float
    most: float


@dataclass(frozen=True)
class Bar:
    """One bar: place and size in SVG units, and what a pointer over it reads."""

    x: float
    y: float
    width: float
    height: float
    title: str
    kind: str


@dataclass(frozen=True)
class Bars:
    """Bars, and the largest value of the vertical axis."""

    bars: tuple[Bar, ...]
    most: float
    last: int


@dataclass(frozen=True)
class Cell:
    """One layer: place and size in SVG units, shade from 0 to 1, what a pointer over it reads."""

    x: float
    y: float
    width: float
    shade: float
    title: str


@dataclass(frozen=True)
class Grid:
    """Layers: a column a block, a row a kind of layer with its y and name."""

    cells: tuple[Cell, ...]
    rows: tuple[tuple[float, str], ...]
    height: float
    least: float
    most: float


def strata(
    found: Sequence[Stratum], limit: float | None, control: float | None, floor: float | None
) -> Spans:
    """Mean KL of each kind of text with its upper bound, beside limit, control and noise."""
    known = {"limit": limit, "rounded to nearest": control, "noise": floor}
    marks = {words: value for words, value in known.items() if value is not None}
    most = max([*marks.values(), *(row.upper_kl for row in found), TINY]) * 1.05
    rows = tuple(
        Span(
            y=(number + 0.5) * ROW,
            begin=_at(row.mean_kl, most),
            dot=_at(row.mean_kl, most),
            end=_at(max(row.upper_kl, row.mean_kl), most),
            name=row.name,
            title=f"{row.name}: {row.mean_kl:.4f}, at most {row.upper_kl:.4f}; {row.texts} texts",
        )
        for number, row in enumerate(found)
    )
    places = tuple((_at(value, most), f"{words} {value:.3g}") for words, value in marks.items())
    return Spans(rows, ROW * len(found), most, places)


def against_limit(measure: Measure) -> Spans:
    """One measure's interval with its limit; the axis shows just these."""
    values = (measure.lower, measure.value, measure.upper, measure.limit)
    least, most = min(values), max(values)
    room = (most - least) * 0.12 or abs(most) or 1.0
    low, high = least - room, most + room
    begin, dot, end, limit = (round(WIDTH * (value - low) / (high - low), 2) for value in values)
    row = Span(y=9, begin=begin, dot=dot, end=end, name="", title=measure.name)
    return Spans((row,), 18, high, ((limit, "limit"),))


def losses(texts: Sequence[TextResult]) -> Scatter:
    """The candidate's loss over the base's, a dot for each text."""
    values = [value for text in texts for value in (text.base_loss, text.loss)]
    least, most = min(values), max(values)
    spread = (most - least) or 1.0
    dots = tuple(
        Dot(
            x=round(WIDTH * (text.base_loss - least) / spread, 2),
            y=round(HEIGHT * (1 - (text.loss - least) / spread), 2),
            title=f"text {number}, {text.stratum}: base {text.base_loss:.3f}, "
            f"candidate {text.loss:.3f}",
        )
        for number, text in enumerate(texts)
    )
    return Scatter(dots, least, most)


def blocks(found: Sequence[BlockError]) -> Bars:
    """Error of each block's output: a bar with weights and activations, one with weights alone."""
    most = max([*(max(block.both, block.weights) for block in found), TINY])
    step = WIDTH / len(found)
    bars = []
    for number, block in enumerate(found):
        for place, (kind, value) in enumerate((("both", block.both), ("weights", block.weights))):
            bars.append(
                Bar(
                    x=round(step * (number + 0.08 + 0.42 * place), 2),
                    y=round(HEIGHT * (1 - value / most), 2),
                    width=round(step * 0.4, 2),
                    height=round(HEIGHT * value / most, 2),
                    title=f"block {block.block}, {kind}: {value:.4f}",
                    kind=kind,
                )
            )
    return Bars(tuple(bars), most, found[-1].block)


def layers(found: Sequence[LayerError]) -> Grid | None:
    """Error of each layer's weight by block and kind; None where no layer lies in a block."""
    placed = [(int(m[1]), m[2], f) for f in found if (m := PLACE.search(f.module))]
    if not placed:
        return None
    kinds = sorted({kind for _, kind, _ in placed})
    columns = max(block for block, _, _ in placed) + 1
    errors = [layer.error for _, _, layer in placed]
    least, most, step = min(errors), max(errors), WIDTH / columns
    cells = tuple(
        Cell(
            x=round(block * step, 2),
            y=kinds.index(kind) * ROW,
            width=round(step * 0.94, 2),
            shade=round(0.15 + 0.85 * (layer.error - least) / ((most - least) or 1.0), 3),
            title=f"{layer.module}: {layer.error:.4f}",
        )
        for block, kind, layer in placed
    )
    rows = tuple(((n + 0.5) * ROW, kind.rpartition(".")[2]) for n, kind in enumerate(kinds))
    return Grid(cells, rows, ROW * len(kinds), least, most)


def _at(value: float, most: float) -> float:
    return round(WIDTH * max(value, 0.0) / most, 2)
