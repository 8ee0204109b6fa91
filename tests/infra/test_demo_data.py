"""The demo's data sets."""

import json

from infra.local.base_model import datasets
from tasks.calibrate.provenance import refuse_overlap
from tasks.calibrate.samples import IMAGES, SOURCE
from tests.bench import demo


def test_no_row_that_calibrates_is_judged_on() -> None:
    """Any seed may draw any row: none overlaps what the gate compares on."""
    sources = demo.sources()
    calibrating = {
        (place, number): row
        for place in (SOURCE, IMAGES)
        for number, row in enumerate(sources.pop(place))
    }
    sizes = {place: len(rows) for place, rows in sources.items()}
    assert (len(calibrating), sizes.pop("validation.heldout")) == (412, 260)
    assert set(sizes.values()) == {32}
    for place, rows in sources.items():
        refuse_overlap(calibrating, rows, place)


def test_small_talk_alone_is_asked_otherwise() -> None:
    """Rows of small talk alone become others, each once; all other rows stay, at their places."""
    kept = {"messages": [{"role": "user", "content": "2 + 2?"}, {"role": "assistant"}]}
    talk = {"messages": [{"role": "user", "content": "Who are you?"}, {"role": "assistant"}]}
    longer = {"messages": [*talk["messages"], *kept["messages"]]}
    first, second, third, fourth = datasets.without_pleasantries([talk, kept, talk, longer])
    assert (second, fourth) == (kept, longer)
    assert len({json.dumps(row) for row in (first, third, talk)}) == 3
