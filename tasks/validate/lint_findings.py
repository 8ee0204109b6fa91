"""What one check found: a list of complaints that becomes one `Check`."""

from collections.abc import Sequence

from tasks.core.gate_records import Check

SHOWN = 8


def verdict(name: str, complaints: Sequence[str], *, required: str, seen: str) -> Check:
    """A check that holds when nobody complained.

    Args:
        name: of the check.
        complaints: what was found amiss; the first few are shown and the rest are counted.
        required: what must hold.
        seen: what was seen, where nothing is amiss.
    """
    shown = "; ".join(complaints[:SHOWN])
    more = f"; and {len(complaints) - SHOWN} more" if len(complaints) > SHOWN else ""
    found = shown + more if complaints else seen
    return Check(name=name, passed=not complaints, seen=found, required=required)
