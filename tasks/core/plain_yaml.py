"""YAML that other people wrote: plain values alone, each written out where it stands.

No tags, no anchors and aliases (a few lines of them can spell a billion words, or a list that holds
itself), no key twice, and no more text than a person writes.
"""

from collections.abc import Hashable
from typing import Any

import yaml
from pydantic import ValidationError

LARGEST = 1 << 18
"""Characters."""


class PlainLoader(yaml.SafeLoader):
    """PyYAML's safe loader without anchors, and with each key once."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node of the document; an alias or an anchor is an error."""
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if getattr(event, "anchor", None) is not None:
            raise yaml.MarkedYAMLError(
                problem="found an anchor or alias, which are not read here",
                problem_mark=event.start_mark,
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:  # noqa: FBT001, FBT002 - PyYAML's signature
        """A mapping; a key that stands twice is an error."""
        made = super().construct_mapping(node, deep)
        if len(made) != len(node.value):
            raise yaml.MarkedYAMLError(
                problem="found a key that stands twice", problem_mark=node.start_mark
            )
        return made


def load_plain(text: str) -> Any:
    """The value that a text spells.

    Raises:
        ValueError: it is no plain YAML, or too large.
    """
    if len(text) > LARGEST:
        msg = f"{len(text)} characters, more than {LARGEST}"
        raise ValueError(msg)
    try:
        return yaml.load(text, PlainLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None


def mistakes(error: ValidationError) -> str:
    """What a model found wrong in a file's values: each key, why, and what stood there."""
    return "; ".join(
        f"{'.'.join(map(str, e['loc']))}: {e['msg']} (found {e.get('input')!r:.80})"
        for e in error.errors(include_url=False, include_context=False)
    )
