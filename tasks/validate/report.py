"""The evidence as one self-contained page for people; it says no more than the JSON does."""

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.validate import plots, words
from tasks.validate.evidence import Evidence
from tasks.validate.measures import STRATA_NAME

TEMPLATE = "report.html.j2"


def as_html(evidence: Evidence) -> str:
    """A page without scripts and without anything fetched from elsewhere; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("tasks.validate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    second = evidence.second
    return environment.get_template(TEMPLATE).render(
        evidence=evidence,
        meaning=words.MEANING[evidence.verdict],
        reasons=words.reasons(evidence),
        scale=words.scale(evidence),
        story=words.story(evidence),
        rows=[(measure, plots.against_limit(measure)) for measure in evidence.measures],
        strata=_strata(evidence) if evidence.strata else None,
        losses=plots.losses(evidence.texts) if evidence.texts else None,
        blocks=plots.blocks(second.blocks) if second and second.blocks else None,
        layers=plots.layers(second.layers) if second else None,
        width=plots.WIDTH,
        height=plots.HEIGHT,
        row=plots.ROW,
    )


def _strata(evidence: Evidence) -> plots.Spans:
    limits = [m.limit for m in evidence.measures if m.name.startswith(STRATA_NAME)]
    limit = limits[0] if limits else None
    return plots.strata(evidence.strata, limit, evidence.control_kl, evidence.floor_kl)
