"""The whole stage on a real vLLM: a sound release is accepted, a damaged one is not."""

import json
import tempfile
from pathlib import Path

import pytest

from tasks.clients.hub import Hub
from tasks.clients.sources import resolve_source
from tasks.core.errors import CheckFailed
from tasks.core.gate_records import ValidateRecord
from tasks.core.manifest import FileRecord, StageRecord, relative_files
from tasks.core.recipe import Recipe, load_recipe
from tasks.core.records import CalibrateRecord, ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.validate import logprobs
from tasks.validate.assess import EVIDENCE, REPORT
from tasks.validate.compare import compare
from tasks.validate.gate import BASE_LOGPROBS, LOGPROBS
from tasks.validate.validate import run
from tests.finished_stages import FACTS
from tests.validate.conftest import HELDOUT as HELDOUT_ROWS
from tests.validate.conftest import ROOT

TASK_ROWS = ROOT / "infra/local/base_model/assets/task_tools.jsonl"
pytestmark = pytest.mark.heavy


class Listener:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.fractions: list[float] = []

    def note(self, message: str) -> None:
        """Remember the line."""
        self.notes.append(message)

    def update(self, fraction: float, message: str) -> None:
        """Remember how far it is."""
        assert message
        self.fractions.append(fraction)


@pytest.fixture(scope="module")
def recipe() -> Recipe:
    return load_recipe(
        "demo",
        {
            "validation.heldout": {"files": str(HELDOUT_ROWS)},
            "validation.tasks": [
                {"name": "tools", "items": 6, "max_tokens": 96, "source": {"files": str(TASK_ROWS)}}
            ],
            "validation.texts": 16,
            "validation.most_texts": 32,
            "validation.second_engine": 4,
            "validation.tokens": 128,
            "validation.strict_canaries": True,
            "validation.limits": {"mean_kl": 0.2, "perplexity_ratio": 1.3, "top1_agreement": 0.65},
        },
    )


def _record(kind: type[StageRecord], stage: str, folder: Path, **facts: object) -> StageRecord:
    files = tuple(FileRecord.of(folder, folder / name) for name in relative_files(folder))
    values = {"stage": stage, "folder": str(folder), "files": files, "inputs": {}, "seconds": 0}
    return kind.model_validate(FACTS[stage] | values | facts)


def _validate(
    release_id: str, base: Path, candidate: Path, recipe: Recipe, settings: Settings,
    reporter: Listener,
) -> ValidateRecord:  # fmt: skip
    hub = Hub.from_settings(settings)
    judging = recipe.validation.sources
    sources = {place: resolve_source(source, hub).digest for place, source in judging.items()}
    empty = settings.home / "empty"
    empty.mkdir(parents=True, exist_ok=True)
    plan = _record(
        PlanRecord, "plan", empty, target="acme/out", release_id=release_id, sources=sources
    )
    download = _record(DownloadRecord, "download", base)
    calibrate = _record(CalibrateRecord, "calibrate", empty)
    convert = _record(ConvertRecord, "convert", candidate)
    assert isinstance(plan, PlanRecord)
    assert isinstance(download, DownloadRecord)
    assert isinstance(calibrate, CalibrateRecord)
    assert isinstance(convert, ConvertRecord)
    return run(
        plan, download, calibrate, convert, recipe=recipe, settings=settings, hub=hub,
        home=settings.home, reporter=reporter,
    )  # fmt: skip


Accepted = tuple[ValidateRecord, Listener]


@pytest.fixture(scope="module")
def accepted(served_base: Path, sound: Path, recipe: Recipe, settings: Settings) -> Accepted:
    listener = Listener()
    return _validate("sound-1", served_base, sound, recipe, settings, listener), listener


def test_a_sound_release_is_accepted(accepted: Accepted) -> None:
    """ACCEPT, with every check held, and evidence from which the metrics follow again."""
    record, listener = accepted
    assert record.verdict == "ACCEPT"
    assert all(check.passed for check in record.checks)
    assert (record.kernel, record.numerics) == ("EmulationNvFp4LinearKernel", "W4A4 emulated")
    assert {EVIDENCE, REPORT} <= {file.path for file in record.files}
    told = json.loads((record.path / EVIDENCE).read_text())
    assert told["verdict"] == "ACCEPT"
    assert len(told["texts"]) in {16, 32}
    assert told["floor_kl"] < 1e-3
    assert told["control_kl"] > 0.01
    assert len(told["second"]["layers"]) == 54
    (tools,) = told["tasks"]
    assert (tools["name"], tools["items"], tools["base"], tools["candidate"]) == ("tools", 6, 1, 1)
    assert told["scorer"].startswith("lm-eval")
    assert record.tasks[0].p_value == 1
    assert told["contexts"][0]["kl"] >= told["contexts"][-1]["kl"] > 0
    again = compare(
        logprobs.load(record.path / BASE_LOGPROBS), logprobs.load(record.path / LOGPROBS)
    )
    assert again.metrics == record.metrics
    assert listener.fractions == sorted(listener.fractions)
    assert [note.partition(":")[0] for note in listener.notes if ": vllm" in note] == [
        "base", "control", "candidate", "candidate"
    ]  # fmt: skip


def test_evidence_names_no_path_of_this_machine(accepted: Accepted) -> None:
    """What is published with the release says nothing of where it was made."""
    record, _ = accepted
    for name in (EVIDENCE, REPORT):
        text = (record.path / name).read_text()
        assert str(Path.home()) not in text
        assert str(ROOT) not in text
        assert tempfile.gettempdir() not in text


def test_a_second_call_serves_nothing(
    accepted: Accepted, served_base: Path, sound: Path, recipe: Recipe, settings: Settings
) -> None:
    """A judgement with the same inputs is handed out, not made again."""
    listener = Listener()
    again = _validate("sound-1", served_base, sound, recipe, settings, listener)
    assert again == accepted[0]
    assert listener.notes == []


def test_a_damaged_release_is_refused(
    accepted: Accepted, served_base: Path, damaged: Path, recipe: Recipe, settings: Settings
) -> None:
    """Noise that no static check sees is a REGRESSION by its divergence; evidence stays.

    The base is not served again: its measurements are those of the sound release's run.
    """
    listener = Listener()
    with pytest.raises(CheckFailed) as caught:
        _validate("damaged-1", served_base, damaged, recipe, settings, listener)
    assert "mean KL: at most 0.2" in caught.value.expected
    workspace = Workspace.of_release(settings.home, "damaged-1")
    told = json.loads((workspace.scratch("validate") / "evidence" / EVIDENCE).read_text())
    assert told["verdict"] == "REGRESSION"
    assert accepted[0].metrics
    assert told["metrics"]["mean_kl"] > 2 * accepted[0].metrics.mean_kl
    assert workspace.finished("validate", ValidateRecord) is None
    started = [note.partition(":")[0] for note in listener.notes if ": vllm" in note]
    assert started == ["control", "candidate", "candidate"]
