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
from typing import Any

import httpx
import psutil
import pytest
from transformers import CompressedTensorsConfig

from tasks.clients.rows import read_rows
from tasks.core.errors import InputError, ServingError
from tasks.core.progress import Silent
from tasks.core.recipe import load_recipe
from tasks.core.recipe_source import Source
from tasks.core.recipe_validation import Serving, Task
from tasks.core.settings import Settings
from tasks.validate.canaries import CANARIES, check_canaries
from tasks.validate.compare import compare
from tasks.validate.engine import find_engine
from tasks.validate.kernel import check_kernel, find_kernel, numerics
from tasks.validate.logprobs import measure
from tasks.validate.scores.items import items_of
from tasks.validate.scores.run import score
from tasks.validate.serve import serve
from tasks.validate.server import Server
from tasks.validate.tokens import tokenize
from tests.validate.conftest import HELDOUT, ROOT
from tests.validate.second_engine import expected_logprobs

ASSETS = ROOT / "infra/local/base_model/assets"
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
    """Every canary works and is right through the client, up to a full context."""
    names = (*CANARIES, "long_context", "stop")
    checks = check_canaries(server, names, Silent(), strict=True, context=SERVING.max_model_len)
    assert [check.name for check in checks] == [
        "canary: chat", "canary: image", "canary: tool_call", "canary: tool_result",
        "canary: reasoning", "canary: long context", "canary: stop: end of turn",
        "canary: stop: stop string", "canary: stop: token limit", "canary: streaming",
    ]  # fmt: skip
    assert all(check.passed for check in checks), checks


@pytest.mark.heavy
def test_perplexity_is_that_of_lm_eval(server: Server, sound: Path, tmp_path: Path) -> None:
    """Each text's log-likelihood is lm-eval's rolling one, of the same text on the same server."""
    told = [str(row["text"])[:400] for row in read_rows(HELDOUT, "text")][:4]
    task = Task(name="texts", source=Source(files="x"), kind="perplexity", items=len(told))
    items = items_of([task], {"texts": [{"text": text} for text in told]})
    found = score(
        server, items, SERVING, tokenizer=sound, scratch=tmp_path, reporter=Silent()
    ).tasks[0]  # fmt: skip
    wanted = load_recipe("demo", {"validation.texts": 4, "validation.most_texts": None}).validation
    texts = tokenize(server, [{"text": text} for text in told], wanted, Silent())
    for ours, other in zip(measure(server, texts, 20, 4, Silent()), found.answers, strict=True):
        assert other.weight == len(ours.tokens)
        assert other.value == pytest.approx(-float(ours.actual.sum()), rel=1e-5)


@pytest.mark.heavy
def test_tasks_score_a_trained_release(server: Server, sound: Path, tmp_path: Path) -> None:
    """Tool calls, thoughts and pictures go through lm-eval, and the release answers them."""
    names = ("tools", "reasoning", "image")
    tasks = [Task(name=name, source=Source(files="x"), items=6) for name in names]
    rows = {name: _task_rows(name) for name in names}
    found = score(
        server, items_of(tasks, rows), SERVING, tokenizer=sound, scratch=tmp_path,
        reporter=Silent(),
    )  # fmt: skip
    assert [sum(a.value for a in task.answers) >= 5 for task in found.tasks] == [True] * 3
    assert 'set_timer({"minutes": ' in " ".join(answer.said for answer in found.tasks[0].answers)


@pytest.mark.heavy
def test_pictures_are_a_stratum(server: Server) -> None:
    """Rows with an image are measured with it: another picture gives other log-probabilities.

    Asked twice the numbers are the same to the bit.
    """
    wanted = load_recipe("demo", {"validation.texts": 4, "validation.most_texts": None}).validation
    rows = _task_rows("image")
    texts = tokenize(server, rows, wanted, Silent())
    other = tokenize(server, [row | {"image": rows[1]["image"]} for row in rows], wanted, Silent())
    assert {text.stratum for text in texts} == {"images"}
    found, again, changed = (
        measure(server, each, 20, 4, Silent()) for each in (texts, texts, other)
    )
    for one, two in zip(found, again, strict=True):
        assert all(
            (a == b).all() for a, b in zip(vars(one).values(), vars(two).values(), strict=True)
        )
    assert compare(found, again).metrics.mean_kl == 0
    right, wrong = (sum(float(t.actual.sum()) for t in each) for each in (found, changed))
    assert right > wrong + 5


def _task_rows(name: str) -> list[dict[str, Any]]:
    rows = list(read_rows(ASSETS / f"task_{name}.jsonl", "text"))
    return [
        row | {"image": ASSETS / "images_heldout" / row["images"][0]} if "images" in row else row
        for row in rows
    ]


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
