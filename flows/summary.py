"""What a finished release shows: Prefect artifacts, and the JSON that the command line reads."""

from prefect.artifacts import (
    Artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)

from flows.spent import Spent, rows, spent
from tasks.core.gate_records import ValidateRecord
from tasks.core.manifest import Frozen, StageRecord
from tasks.core.records import ArchiveRecord, Release, UploadRecord
from tasks.core.settings import Settings

SUMMARY_KEY = "release-summary"
GB = 1e9


class Summary(Frozen):
    """The outcome of a release, as `var/demo.json` has it.

    Attributes:
        release_id: name of the release, its tag on the Hub.
        base_dir: folder of the base's files.
        checkpoint_dir: folder of the release's checkpoint.
        hub_repo: repository of the release.
        hub_revision: its commit.
        hub_url: link to it.
        archive: S3 address of the archive.
        verdict: of the validation.
        report: path of the evidence report.
        seconds: how long each stage took when it was made.
        wall: seconds from submitting the run to its end, for whoever followed it.
        spent: what the stages took, beside what the plan said.
    """

    release_id: str
    base_dir: str
    checkpoint_dir: str
    hub_repo: str
    hub_revision: str
    hub_url: str
    archive: str
    verdict: str
    report: str
    seconds: dict[str, float]
    wall: float = 0.0
    spent: Spent = Spent()


def publish(release: Release, upload: UploadRecord, archive: ArchiveRecord) -> Summary:
    """Write the artifacts of a finished release and return its summary."""
    stages = (*release.stages, upload, archive)
    summary = summarize(release, upload, archive)
    create_markdown_artifact(key="release", markdown=_markdown(release, upload, archive))
    create_table_artifact(
        key="plan-and-actual", table=rows(summary.spent), description="Planned, and what it took"
    )
    create_table_artifact(key="stages", table=_table(stages), description="What each stage made")
    create_link_artifact(key="hub", link=upload.url, link_text=f"{upload.repo} on the Hub")
    create_link_artifact(
        key="report",
        link=f"{upload.url.replace('/tree/', '/blob/', 1)}/roundhouse/evidence/report.html",
        link_text="Evidence report",
    )
    Artifact(
        type="json",
        key=SUMMARY_KEY,
        description="The outcome, for programs",
        data=summary.model_dump(),
    ).create()
    return summary


def summarize(release: Release, upload: UploadRecord, archive: ArchiveRecord) -> Summary:
    """The outcome of a release from its records."""
    validate = release.validate
    return Summary(
        release_id=release.plan.release_id,
        base_dir=str(release.download.path),
        checkpoint_dir=str(release.convert.path),
        hub_repo=upload.repo,
        hub_revision=upload.commit,
        hub_url=upload.url,
        archive=archive.uri,
        verdict=validate.verdict,
        report=str(validate.path / "report.html"),
        seconds={r.stage: r.seconds for r in (*release.stages, upload, archive)},
        spent=spent(release, (upload, archive), Settings()),
    )


def _table(stages: tuple[StageRecord, ...]) -> list[list[str]]:
    rows = [
        [r.stage, f"{r.seconds:.1f}", str(len(r.files)), f"{r.size / GB:.3f}", r.digest[:12]]
        for r in stages
    ]
    return [["stage", "seconds", "files", "GB", "digest"], *rows]


def _markdown(release: Release, upload: UploadRecord, archive: ArchiveRecord) -> str:
    plan, validate = release.plan, release.validate
    return f"""# {validate.verdict}: {upload.repo}

| | |
|---|---|
| release | `{plan.release_id}` |
| base | {plan.base} at `{plan.commit[:12]}` |
| Hub | [{upload.repo}]({upload.url}) at `{upload.commit[:12]}`, tag `{upload.tag}` |
| archive | `{archive.uri}` |

{_quality(validate)}

{sum(c.passed for c in validate.checks)} of {len(validate.checks)} checks passed.
"""


def _quality(validate: ValidateRecord) -> str:
    m = validate.metrics
    if m is None:
        return "**Quality was not measured**: the files were checked, and nothing was served."
    measures = "\n".join(
        f"| {m.name} | {m.value:.4f} | {m.lower:.4f} to {m.upper:.4f} | {m.direction} {m.limit:g} |"
        for m in validate.measures
    )
    return f"""Measured with {validate.numerics} ({validate.kernel}, {validate.engine}) on \
{m.tokens:,} held-out tokens of {m.texts} texts.

| measure | release | {100 * validate.confidence:g}% interval | limit |
|---|---|---|---|
| perplexity, {m.base_perplexity:.3f} for the base | {m.perplexity:.3f} | | |
{measures}"""
