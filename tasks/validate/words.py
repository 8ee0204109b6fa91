"""The verdict in plain words: what it means, why it was reached, and what to do."""

from tasks.core.gate_records import Measure, Verdict
from tasks.core.repair_records import RepairStep
from tasks.validate.evidence import Evidence

MEANING: dict[Verdict, str] = {
    "ACCEPT": "The release may be uploaded: every check held, and every measure keeps its limit "
    "even at the unfavourable end of what chance allows.",
    "LINT_ONLY": "Quality was not measured. The files were checked against the base's, and nothing "
    "was served or compared, as the recipe asks; the release may be published privately only.",
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
    """Why the verdict is no; empty for ACCEPT and LINT_ONLY."""
    told = [f"{check.name}: {check.seen}; required: {check.required}" for check in evidence.failed]
    told += evidence.anomalies
    return told + [_measure(measure) for measure in evidence.open]


def _measure(measure: Measure) -> str:
    return (
        f"{measure.name} {SAID[measure.decision]}: {measure.value:.4f}, between "
        f"{measure.lower:.4f} and {measure.upper:.4f}; required: {measure.direction} "
        f"{measure.limit:g}"
    )


def story(evidence: Evidence) -> list[str]:
    """What happened before this verdict, attempt by attempt; empty where nothing was repaired."""
    if not evidence.repairs:
        return []
    told = [sentence for step in evidence.repairs for sentence in _repaired(step)]
    return [*told, f"Judged again, the verdict is {evidence.verdict}."]


def _repaired(step: RepairStep) -> tuple[str, str]:
    layers = ", ".join(module for kept in step.kept for module in kept.modules)
    grown = step.bytes_after - step.bytes_before
    before = f"Before attempt {step.attempt} the gate refused the candidate. It found: "
    what = (
        f"{step.considered} groups of layers were then measured one by one with {step.engine}, on "
        f"{step.tokens} positions of held-out text. Kept as the base has them: {layers}. That "
        f"takes the mean KL there from {step.kl_before:.5f} to {step.kl_after:.5f} and adds "
        f"{grown / 1e6:,.2f} MB to {step.bytes_before / 1e6:,.2f} MB; all other layers are byte "
        "for byte as they were."
    )
    return before + step.refusal, what


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
