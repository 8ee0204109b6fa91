"""The calibration child: `python -m tasks.calibrate.worker job.json`."""

import json
import sys
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from transformers import AutoProcessor, AutoTokenizer

from tasks.calibrate.compose import compose
from tasks.calibrate.job import SAMPLES, Job, Result, Row
from tasks.core.errors import BaseModelError, InputError
from tasks.core.jobs import serve

IMAGE_TOKENS = ("image_token_id", "image_token_index")


def work(job: Job) -> Result:
    """Make the samples and write them.

    Raises:
        InputError: the rows cannot fill the samples.
        BaseModelError: the base's tokenizer or processor cannot be loaded.
    """
    config = json.loads((job.model / "config.json").read_bytes())
    tokenizer = _loaded(AutoTokenizer, job.model)
    _check_length(job, config, tokenizer)
    composed = compose(
        job,
        _rows(job.rows),
        _rows(job.images) if job.images else [],
        tokenizer,
        _loaded(AutoProcessor, job.model) if job.image_samples else None,
        next((config[key] for key in IMAGE_TOKENS if key in config), None),
    )
    save_file(composed.tensors(), job.output / SAMPLES)
    return Result(samples=tuple(composed.samples))


def _loaded(kind: Any, model: Path) -> Any:
    try:
        return kind.from_pretrained(model, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise BaseModelError(
            f"the base's files give no {kind.__name__.removeprefix('Auto').lower()}",
            found=f"{type(error).__name__}: {error}",
            remedy="choose a base that has its tokenizer and processor files",
        ) from None


def _check_length(job: Job, config: dict[str, Any], tokenizer: Any) -> None:
    """AutoRound shortens samples that are too long for the model, and says so in its log only."""
    text = config.get("text_config", config)
    most = min(text.get("max_position_embeddings", sys.maxsize), tokenizer.model_max_length)
    if job.seqlen > most:
        raise InputError(
            f"calibration.seqlen {job.seqlen} is longer than the base reads",
            expected=f"at most {most} tokens",
            remedy="lower calibration.seqlen",
        )


def _rows(path: Path) -> list[Row]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


if __name__ == "__main__":
    sys.exit(serve(Job, work))
