"""Which releases must stay in private repositories: those whose quality was not measured."""

import json

from tasks.core.errors import IntegrityError
from tasks.core.gate_records import LINT_ONLY
from tasks.core.published import BOM

VERDICT = "roundhouse:verdict"


def is_confined(bom: bytes) -> bool:
    """Whether a published release's bill of materials says that nothing was measured.

    Raises:
        IntegrityError: it says no verdict.
    """
    try:
        named = json.loads(bom)["metadata"]["component"]["properties"]
        (verdict,) = [entry["value"] for entry in named if entry["name"] == VERDICT]
    except (ValueError, KeyError, TypeError):
        raise IntegrityError(
            f"{BOM} does not say what the release's verdict was",
            expected=f"one property {VERDICT}",
            remedy="take another release, or another copy of this one",
        ) from None
    return bool(verdict == LINT_ONLY)
