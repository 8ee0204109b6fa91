"""The verdict in plain words: what it means, why it was reached, and what to do."""

from tasks.core.records import Measure, Verdict
from tasks.validate.evidence import Evidence

MEANING: dict[Verdict, str] = {
    "ACCEPT": "The release may be uploaded: every check held, and every measure keeps its limit "
    "even at the unfavourable end of what chance allows.",
    "REGRESSION": "The release must not be uploaded: it was shown to be damaged.",
    "INCONCLUSIVE": "The release must not be uploaded: it was not shown to be good, nor to be bad. "
    "All texts that the recipe allows were compared; more of them could settle it.",
    "ANOMALOUS": "The release must not be uploaded: the measurement cannot be trusted, so it says "
    "nothing of the release.",
    "INFEASIBLE": "The release must not be uploaded: with so few texts, limits so close could not "
    "be shown to hold even by a release without any damage.",
}
SAID = {
    "fails": "is shown to break its limit",
    "undecided": "cannot be told from its limit",
    "holds": "keeps its limit",
}


def reasons(evidence: Evidence) -> list[str]:
    """Why the verdict is no; empty for ACCEPT."""
    told = [f"{check.name}: {check.seen}; required: {check.required}" for check in evidence.failed]
    told += evidence.anomalies
    return told + [_measure(measure) for measure in evidence.open]


def _measure(measure: Measure) -> str:
    return (
        f"{measure.name} {SAID[measure.decision]}: {measure.value:.4f}, between "
        f"{measure.lower:.4f} and {measure.upper:.4f}; required: {measure.direction} "
        f"{measure.limit:g}"
    )


def scale(evidence: Evidence) -> list[str]:
    """What the damage compares to: the engine's noise, plain rounding, weights alone."""
    if evidence.metrics is None:
        return []
    kl, told = evidence.metrics.mean_kl, []
    if evidence.floor_kl is not None:
        told.append(f"The base against itself, served again: a mean KL of {evidence.floor_kl:.5f}.")
    if evidence.control_kl is not None:
        told.append(
            f"The base with weights rounded to nearest: {evidence.control_kl:.5f}. This candidate: "
            f"{kl:.5f}, {_compared(kl, evidence.control_kl)}."
        )
    if (second := evidence.second) is not None and second.mean_kl > 0:
        share = min(second.weights_kl / second.mean_kl, 1.0)
        told.append(
            f"By {second.engine} on {second.texts} of the texts, from whole distributions: "
            f"{second.mean_kl:.5f}, of which {100 * share:.0f}% is there with 4-bit weights alone "
            f"and the rest comes from 4-bit activations."
        )
    return told


def _compared(kl: float, control: float) -> str:
    if control == 0:
        return "where the control has none"
    if kl == control:
        return "just as much"
    return f"{100 * abs(1 - kl / control):.0f}% {'less' if kl <= control else 'more'}"
