"""Rows as token ids, and samples of equal length."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.calibrate.job import Part
from tasks.calibrate.text import Filler, TokenRow, order, render, token_rows
from tasks.core.chat_template import ChatTemplate
from tasks.core.errors import InputError

TOOL = {
    "type": "function",
    "function": {"name": "lookup", "description": "Look.", "parameters": {"type": "object"}},
}


@pytest.fixture(scope="module")
def tokenizer(base: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(base)


@pytest.fixture(scope="module")
def chats(tokenizer: Any) -> Iterator[ChatTemplate]:
    with ChatTemplate(tokenizer) as chats:
        yield chats


@given(
    st.lists(st.lists(st.integers(3, 99), min_size=1, max_size=40), max_size=30),
    st.integers(1, 25),
)
def test_samples_are_rows_laid_end_to_end_and_cut(rows: list[list[int]], seqlen: int) -> None:
    """Every sample has exactly `seqlen` tokens, starts with a row, and only ends cut a row."""
    taken = [TokenRow(number, "text", ids) for number, ids in enumerate(rows)]
    filler = Filler(taken, seqlen)
    used: list[Part] = []
    while True:
        ids: list[int] = []
        parts: list[Part] = []
        if not filler.fill(ids, parts):
            break
        assert len(ids) == seqlen
        assert ids == list(chain(*(rows[part.row][: part.tokens] for part in parts)))
        assert all(part.whole for part in parts[:-1])
        used += parts
    rest = [*used, *parts]
    assert [part.row for part in rest] == list(range(len(rows)))
    assert sum(part.tokens for part in parts) < seqlen


@given(st.integers(0, 200), st.integers(0, 2**31))
def test_order_is_a_permutation(count: int, seed: int) -> None:
    """Each row is taken once, whatever the seed."""
    assert sorted(order(count, seed)) == list(range(count))


def test_order_follows_from_the_seed_alone() -> None:
    """The order is pinned: another version that takes other rows makes another release."""
    assert order(8, 42) == [1, 0, 6, 4, 7, 5, 3, 2]
    assert order(8, 42) != order(8, 43)


@pytest.mark.parametrize("thinking", [None, True])
@pytest.mark.parametrize("tools", [None, [TOOL]])
def test_chats_are_what_the_template_tokenizes(
    tokenizer: Any, chats: ChatTemplate, tools: list[Any] | None, thinking: Literal[True] | None
) -> None:
    """A chat's ids are those of the base's own template, with one beginning-of-sequence token."""
    messages = [{"role": "user", "content": "Add 2 and 3."}, {"role": "assistant", "content": "5"}]
    ids = render({"messages": messages, "tools": tools, "thinking": thinking}, tokenizer, chats)
    oracle = tokenizer.apply_chat_template(
        messages, tools=tools, enable_thinking=bool(thinking), tokenize=True, return_dict=False
    )
    assert ids == oracle
    assert ids.count(tokenizer.bos_token_id) == 1
    assert ("lookup" in tokenizer.decode(ids)) == bool(tools)
    assert (tokenizer.convert_tokens_to_ids("<|think|>") in ids) == bool(thinking)


@pytest.mark.parametrize("text", ["A river runs.", "<bos>A river runs."])
def test_texts_have_one_beginning(tokenizer: Any, chats: ChatTemplate, text: str) -> None:
    """A plain text gets one beginning-of-sequence token, also where its text spells one."""
    assert render({"text": text}, tokenizer, chats) == tokenizer("A river runs.")["input_ids"]


def test_repeated_and_empty_rows_are_left_out(tokenizer: Any, chats: ChatTemplate) -> None:
    """A row that says what another one said adds nothing."""
    rows = [{"text": "one"}, {"text": ""}, {"text": "two"}, {"text": "one"}]
    found = [row.number for row in token_rows(rows, tokenizer, chats, 1, None)]
    assert len(found) == 2
    assert 1 not in found


def test_text_rows_show_no_image(tokenizer: Any, chats: ChatTemplate) -> None:
    """A chat that shows an image without having one is refused, not calibrated on as it is."""
    rows = [{"messages": [{"role": "user", "content": [{"type": "image"}]}]}]
    with pytest.raises(InputError, match=r"row 0 of calibration\.source shows an image"):
        list(token_rows(rows, tokenizer, chats, 1, tokenizer.convert_tokens_to_ids("<|image|>")))
