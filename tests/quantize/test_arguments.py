"""The recipe as AutoRound's arguments."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tasks.core.errors import QuantizeError
from tasks.core.recipe import Recipe
from tasks.quantize.arguments import (
    algorithm_arguments,
    check_known,
    check_received,
    entry_arguments,
    expected,
    refuse_unknown,
)
from tasks.quantize.job import Job
from tasks.quantize.launch import environment, make_job

Make = Callable[..., Recipe]


@pytest.fixture
def job(base: Path, recipe: Make, tmp_path: Path) -> Job:
    chosen = recipe(tuning__learning_rate=0.25, tuning__iters=3, tuning__seed=7)
    return make_job(tmp_path, base, tmp_path / "samples", chosen)


def test_unknown_arguments_are_refused() -> None:
    """What AutoRound would drop with a line in its log is an error that names it."""
    with pytest.raises(QuantizeError, match="AutoRound does not take nsample, seqlem"):
        refuse_unknown("AutoRound", ["nsample", "seqlem", "model"], ["model", "nsamples"])


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")  # AutoRound's own imports warn
def test_every_argument_arrives(job: Job) -> None:
    """The built compressor holds each value of the recipe; a value that it lost is named."""
    from auto_round import AutoRound
    from auto_round.algorithms.quantization.sign_round.config import SignRoundConfig

    check_known(job)
    algorithm = SignRoundConfig(**algorithm_arguments(job))
    compressor: Any = AutoRound(dataset=[], alg_configs=algorithm, **entry_arguments(job, "cpu"))
    check_received(compressor, job)
    given = {"device_map", *expected(job)}
    for name in (*entry_arguments(job, "cpu"), *algorithm_arguments(job)):
        known_as = {"model": "disk_stream_model_dir", "format": "formats"}.get(name, name)
        assert any(path.rpartition(".")[2] == known_as for path in given), name
    assert str(compressor.device) == "cpu"
    for path, value in expected(job).items():
        changed = job.model_copy(update=_other(job, path))
        if changed != job:
            assert expected(changed)[path] != value
            with pytest.raises(QuantizeError, match=f"did not take over {path}"):
                check_received(compressor, changed)


def _other(job: Job, path: str) -> dict[str, Any]:
    """Another value of what the compressor holds at `path`, as a change of the job."""
    name = path.rpartition(".")[2]
    if name in {"nsamples", "seqlen"}:
        return {name: 5}
    tuned = {"seed": "seed", "batch_size": "batch_size", "iters": "iters", "lr": "learning_rate"}
    if name in tuned:
        return {"tuning": job.tuning.model_copy(update={tuned[name]: 1})}
    others: dict[str, dict[str, Any]] = {
        "ignore_layers": {"ignore": ("a",)},
        "scheme": {"scheme": "W4A16"},
    }
    return others.get(name, {})


def test_the_child_is_offline_and_knows_no_secret(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Neither credentials nor AutoRound's own switches reach the child."""
    for name in ("HF_TOKEN", "AWS_SECRET_ACCESS_KEY", "AR_ACT_SCALE", "AR_RESUME_DIR"):
        monkeypatch.setenv(name, "canary")
    found = environment(tmp_path)
    assert "canary" not in found.values()
    assert found["HF_HUB_OFFLINE"] == "1"
