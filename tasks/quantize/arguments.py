"""The recipe as AutoRound's arguments, and nothing that AutoRound does not know.

AutoRound 0.16.1 drops an unknown argument with a line in its log. So every name is compared with
what its entry point and its algorithm accept before a model is loaded, and every value with what
the built compressor holds.
"""

import inspect
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tasks.core.errors import QuantizeError
from tasks.quantize.job import Job

FORMAT = "auto_round"


def entry_arguments(job: Job, device: str) -> dict[str, Any]:
    """Arguments of `AutoRound`, without the data set and the algorithm.

    Args:
        job: what to quantize.
        device: `cpu`, or a torch device.
    """
    return {
        "model": str(job.model),
        "scheme": job.scheme,
        "nsamples": job.nsamples,
        "seqlen": job.seqlen,
        "batch_size": job.tuning.batch_size,
        "seed": job.tuning.seed,
        "ignore_layers": ",".join(job.ignore),
        "device_map": device,
        "format": FORMAT,
        "trust_remote_code": False,
    }


def algorithm_arguments(job: Job) -> dict[str, Any]:
    """Arguments of AutoRound's configuration of the algorithm.

    Zero iterations make `SignRoundConfig` round to nearest, with a search for scales.
    """
    if job.tuning.tuner == "rtn":
        return {"disable_opt_rtn": True}
    return {"iters": job.tuning.iters, "lr": job.tuning.learning_rate}


def algorithm(job: Job) -> Any:
    """AutoRound's configuration of the algorithm that the recipe's tuner stands for."""
    from auto_round.algorithms.quantization.rtn.config import RTNConfig
    from auto_round.algorithms.quantization.sign_round.config import SignRoundConfig

    if job.tuning.tuner == "rtn":
        return RTNConfig(**algorithm_arguments(job))
    if job.tuning.tuner == "fused" and job.tuning.iters:
        from tasks.quantize.fused.algorithm import FusedSignRoundConfig

        return FusedSignRoundConfig(
            seed=job.tuning.seed,
            store=job.store,
            gradient_precision=job.tuning.gradient_precision,
            **algorithm_arguments(job),
        )
    return SignRoundConfig(**algorithm_arguments(job))


def check_known(job: Job) -> None:
    """Refuse to go on with an argument that this AutoRound does not take.

    Raises:
        QuantizeError: names the arguments.
    """
    from auto_round import AutoRound
    from auto_round.algorithms.quantization.rtn.config import RTNConfig
    from auto_round.algorithms.quantization.sign_round.config import SignRoundConfig
    from auto_round.autoround import _ENTRY_KWARG_OWNERS

    entry = {*_named(AutoRound.__new__), *_ENTRY_KWARG_OWNERS}
    refuse_unknown("AutoRound", entry_arguments(job, "cpu") | {"dataset": []}, entry)
    taker = RTNConfig if job.tuning.tuner == "rtn" else SignRoundConfig
    refuse_unknown(taker.__name__, algorithm_arguments(job), _named(taker))


def refuse_unknown(taker: str, arguments: Iterable[str], known: Iterable[str]) -> None:
    """Refuse arguments that are not known.

    Raises:
        QuantizeError: names them.
    """
    unknown = sorted(set(arguments) - set(known))
    if unknown:
        raise QuantizeError(
            f"{taker} of the installed AutoRound does not take {', '.join(unknown)}",
            expected="an AutoRound whose arguments this version of Roundhouse knows",
            remedy="install the pinned requirements",
        )


def _named(function: Any) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind in {p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD}}


def check_received(compressor: Any, job: Job) -> None:
    """Compare what the built compressor holds with what it was given.

    Raises:
        QuantizeError: names the first value that did not arrive.
    """
    for name, given in expected(job).items():
        held = _look_up(compressor, name)
        if held != given:
            raise QuantizeError(
                f"AutoRound did not take over {name}", expected=repr(given), found=repr(held)
            )


def expected(job: Job) -> dict[str, Any]:
    """Where the compressor holds each argument, and its value."""
    held: dict[str, Any] = {
        "model_context.disk_stream_model_dir": str(job.model),
        "model_context.trust_remote_code": False,
        "scheme": job.scheme,
        "calibration_context.nsamples": job.nsamples,
        "calibration_context.seqlen": job.seqlen,
        "calibration_context.batch_size": min(job.tuning.batch_size, job.nsamples),
        "seed": job.tuning.seed,
        "ignore_layers": ",".join(job.ignore),
        "formats": FORMAT,
    }
    if job.tuning.iters:
        held["quantize_config.iters"] = job.tuning.iters
        held["quantize_config.lr"] = job.tuning.learning_rate
    if job.tuning.tuner == "rtn":
        held["quantize_config.disable_opt_rtn"] = True
    return held


def _look_up(compressor: Any, path: str) -> Any:
    for name in path.split("."):
        compressor = getattr(compressor, name)
    return compressor


def written_to(output: Path) -> Path:
    """The folder AutoRound made inside `output`: it appends a name of its own.

    Raises:
        QuantizeError: there is not exactly one.
    """
    folders = [path for path in output.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise QuantizeError(
            "AutoRound left no output folder", found=f"{[folder.name for folder in folders]}"
        )
    return folders[0]
