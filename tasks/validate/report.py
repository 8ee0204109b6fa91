"""The evidence as JSON for machines, and as one self-contained page for people."""

import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from tasks.validate import plots
from tasks.validate.evidence import Evidence

TEMPLATE = "report.html.j2"
CONSEQUENCE = {
    "ACCEPT": "Every check held. The release may be uploaded.",
    "REGRESSION": "The release must not be uploaded.",
}


def as_json(value: Any) -> str:
    """Indented JSON with a final newline."""
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def as_html(evidence: Evidence) -> str:
    """A page without scripts and without anything fetched from elsewhere; all text is escaped."""
    environment = Environment(
        loader=PackageLoader("tasks.validate", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(TEMPLATE).render(
        evidence=evidence,
        consequence=CONSEQUENCE[evidence.verdict],
        divergences=plots.divergences(evidence.texts) if evidence.texts else None,
        losses=plots.losses(evidence.texts) if evidence.texts else None,
        width=plots.WIDTH,
        height=plots.HEIGHT,
    )
