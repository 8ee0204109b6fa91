"""Digests: equal values have equal digests, and only they."""

import hashlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.core.digest import canonical_json, sha256_file, sha256_json

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)  # fmt: skip


@given(value=values)
def test_canonical_json_reads_back(value: object) -> None:
    """Canonical JSON is JSON, and says the value it was made from."""
    assert json.loads(canonical_json(value)) == value


@given(value=st.dictionaries(st.text(), st.integers(), min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    """A mapping has one digest, in whatever order it was filled."""
    turned = dict(reversed(value.items()))
    assert sha256_json(turned) == sha256_json(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_json_cannot_say_is_refused(value: float) -> None:
    """NaN and infinity have no JSON, so they get no digest."""
    with pytest.raises(ValueError, match="not JSON compliant"):
        sha256_json({"x": value})


def test_a_file_is_hashed_whole(tmp_path: Path) -> None:
    """The digest of a file longer than any buffer is that of all its bytes."""
    content = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(content)
    assert sha256_file(tmp_path / "file") == hashlib.sha256(content).hexdigest()
