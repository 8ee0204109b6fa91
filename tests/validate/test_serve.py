"""A real vLLM: its start, its end, its canaries, and a second engine's opinion of its numbers."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest
from transformers import CompressedTensorsConfig

from tasks.clients.rows import read_rows
from tasks.core.errors import InputError, ServingError
from tasks.core.progress import Silent
from tasks.core.recipe import Serving, load_recipe
from tasks.core.settings import Settings
from tasks.validate.canaries import CANARIES, check_canaries
from tasks.validate.compare import compare
from tasks.validate.engine import find_engine
from tasks.validate.kernel import check_kernel, find_kernel, numerics
from tasks.validate.logprobs import measure
from tasks.validate.serve import serve
from tasks.validate.server import Server
from tasks.validate.tokens import tokenize
from tests.validate.conftest import HELDOUT, ROOT
from tests.validate.second_engine import expected_logprobs

SERVING = Serving(
    max_model_len=512, max_num_seqs=4, images_per_prompt=1, startup_seconds=300, logprobs=20
)


@pytest.fixture(scope="module")
def server(
    sound: Path, settings: Settings, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    log = tmp_path_factory.mktemp("log") / "vllm.log"
    with serve(
        sound, name="candidate", serving=SERVING, settings=settings, log=log, reporter=Silent()
    ) as running:
        yield running


def _served(model: Path, settings: Settings, log: Path) -> None:
    with serve(model, name="m", serving=SERVING, settings=settings, log=log, reporter=Silent()):
        pass


def test_a_missing_environment_says_what_to_type(tmp_path: Path) -> None:
    """No serving environment is our own error, whether Python or vLLM lacks."""
    for python in (tmp_path / "no-python", Path(sys.executable)):
        with pytest.raises(ServingError, match="make serve"):
            find_engine(python)


def test_a_taken_port_is_refused(sound: Path, settings: Settings, tmp_path: Path) -> None:
    """A port the settings ask for must be free; nothing is started otherwise."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = settings.model_copy(update={"serve_port": other.getsockname()[1]})
        with pytest.raises(InputError, match="is taken"):
            _served(sound, taken, tmp_path / "vllm.log")
    assert not (tmp_path / "vllm.log").exists()


@pytest.mark.heavy
def test_a_server_that_dies_says_why(sound: Path, settings: Settings, tmp_path: Path) -> None:
    """A checkpoint that vLLM cannot load fails at once, with the cause rather than its echo."""
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in sound.iterdir():
        if file.is_file() and file.suffix != ".json":
            (broken / file.name).symlink_to(file)
    config = json.loads((sound / "config.json").read_text())
    config["architectures"], config["model_type"] = ["NoSuchModel"], "no_such_model"
    (broken / "config.json").write_text(json.dumps(config))
    with pytest.raises(ServingError, match="no_such_model") as caught:
        _served(broken, settings, tmp_path / "vllm.log")
    assert str(tmp_path / "vllm.log") in caught.value.remedy


@pytest.mark.heavy
def test_requests_need_the_key(server: Server) -> None:
    """The key opens the server; without it requests are refused, and no process list shows it."""
    url = f"{server.url}/v1/models"
    key = server.key.get_secret_value()
    assert httpx.get(url).status_code == 401
    assert httpx.get(url, headers={"Authorization": f"Bearer {key}"}).status_code == 200
    lines = [p.info["cmdline"] for p in psutil.process_iter(["cmdline"])]
    assert not any(key in word for line in lines if line for word in line)
    assert key not in server.log.read_text()


@pytest.mark.heavy
def test_nvfp4_is_computed_as_w4a4(server: Server) -> None:
    """On a CPU the emulation kernel is what ran, and the check says so."""
    kernel = find_kernel(server.log.read_text())
    assert kernel == "EmulationNvFp4LinearKernel"
    assert numerics(kernel) == "W4A4 emulated"
    assert check_kernel(kernel).passed
    assert not check_kernel(find_kernel("no such line")).passed


@pytest.mark.heavy
def test_a_trained_release_answers_rightly(server: Server) -> None:
    """Chat, image, tool call, reasoning and streaming work and are right through the client."""
    checks = check_canaries(server, tuple(CANARIES), Silent(), strict=True)
    assert [check.name for check in checks] == [
        "canary: chat", "canary: image", "canary: tool_call", "canary: reasoning",
        "canary: streaming",
    ]  # fmt: skip
    assert all(check.passed for check in checks), checks


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore:You passed `quantization_config`:UserWarning")
def test_a_second_engine_agrees(server: Server, sound: Path) -> None:
    """Plain transformers with compressed-tensors agrees with vLLM as far as with itself.

    W4A4 has a floor of its own: a difference of one BF16 step moves some activations to the next
    FP4 value, and the layers above multiply that. So transformers with another attention, which
    adds in another order, says how near two right engines can be: vLLM must be no further, and
    nearer in loss to transformers with rounded activations than to it without.
    """
    wanted = load_recipe(
        "demo",
        {"validation.texts": 12, "validation.most_texts": None, "validation.tokens": 192},
    ).validation
    texts = tokenize(server, list(read_rows(HELDOUT, "text")), wanted, Silent())
    served = measure(server, texts, SERVING.logprobs, 4, Silent())
    k = SERVING.logprobs
    w4a4 = expected_logprobs(sound, texts, k)
    again = expected_logprobs(sound, texts, k, attn_implementation="eager")
    plain = CompressedTensorsConfig(dequantize=True)
    w4a16 = expected_logprobs(sound, texts, k, quantization_config=plain)
    floor, found = compare(w4a4, again).metrics, compare(w4a4, served).metrics
    assert found.mean_kl < 1.2 * floor.mean_kl
    assert abs(found.perplexity_ratio - 1) < 0.03
    weights_only = compare(w4a16, served).metrics
    assert abs(weights_only.perplexity_ratio - 1) > 2 * abs(found.perplexity_ratio - 1)


@pytest.mark.heavy
def test_nothing_outlives_a_killed_parent(sound: Path, tmp_path: Path) -> None:
    """A process that serves and is killed with SIGKILL leaves no process of vLLM's behind."""
    code = f"""
from pathlib import Path
from tests.validate.test_serve import SERVING, Settings, Silent, serve
settings = Settings(home=Path("{tmp_path}"), serve_python=Path("{ROOT}/.venv/serve/bin/python"))
with serve(Path("{sound}"), name="m", serving=SERVING, settings=settings,
           log=Path("{tmp_path}/vllm.log"), reporter=Silent()):
    pass
"""
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT)
    family: list[psutil.Process] = []
    deadline = time.monotonic() + 120
    while not any("EngineCore" in " ".join(_words(p)) for p in family):
        assert parent.poll() is None
        assert time.monotonic() < deadline
        family = psutil.Process(parent.pid).children(recursive=True)
        time.sleep(0.2)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    gone, alive = psutil.wait_procs(family, timeout=20)
    assert not alive
    assert len(gone) >= 3


def _words(process: psutil.Process) -> list[str]:
    try:
        return [process.name(), *process.cmdline()]
    except psutil.Error:
        return []
