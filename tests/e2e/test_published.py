"""The published release, fetched by the Hub's own client: engines agree, and decoders agree."""

from pathlib import Path

import pytest
import torch
from compressed_tensors.compressors.nvfp4 import NVFP4PackedCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from huggingface_hub import HfApi
from safetensors.torch import load_file

from infra.local.seed import SOURCE
from tasks.clients.rows import read_rows
from tasks.core.checkpoint import Checkpoint
from tasks.core.progress import Silent
from tasks.core.recipe import load_recipe
from tasks.core.settings import Settings
from tasks.kernels.nvfp4 import Packed, decode
from tasks.validate.canaries import CANARIES, check_canaries
from tasks.validate.compare import compare
from tasks.validate.logprobs import measure
from tasks.validate.serve import serve
from tasks.validate.tokens import tokenize
from tests.e2e.house import TARGET, Demo, House
from tests.validate.second_engine import expected_logprobs

pytestmark = [pytest.mark.e2e, pytest.mark.heavy]
NEARER = 1.5
"""How much further than from itself with another attention transformers may be from vLLM."""


@pytest.fixture(scope="module")
def published(house: House, demo: Demo, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of the release's tag."""
    folder = tmp_path_factory.mktemp("published")
    hub = HfApi(house.env["HF_ENDPOINT"], token=house.env["HF_TOKEN"])
    hub.snapshot_download(TARGET, revision=demo.outcome["release_id"], local_dir=folder)
    return folder


def test_two_decoders_give_the_same_weights(published: Path) -> None:
    """Every quantized weight decodes to the bit alike by compressed-tensors and by our decoder."""
    scheme = QuantizationScheme(
        targets=["Linear"],
        weights=QuantizationArgs(
            num_bits=4, type="float", strategy="tensor_group", group_size=16, symmetric=True
        ),
    )
    tensors: dict[str, torch.Tensor] = {}
    for shard in Checkpoint(published).shards:
        tensors |= load_file(published / shard)
    packed = [name.removesuffix("_packed") for name in tensors if name.endswith(".weight_packed")]
    assert packed
    for name in packed:
        parts = ("packed", "scale", "global_scale")
        state = {f"weight_{part}": tensors[f"{name}_{part}"] for part in parts}
        theirs = NVFP4PackedCompressor.decompress(dict(state), scheme)["weight"]
        assert torch.equal(decode(Packed(*state.values())), theirs), name


def test_vllm_answers_and_transformers_agrees(published: Path, house: House) -> None:
    """VLLM serves it and answers; plain transformers (W4A4) gives the same log-probabilities.

    A difference of one BF16 step moves some activations to the next FP4 value, so two right engines
    differ; transformers with another attention says by how much.
    """
    wanted = load_recipe(
        "demo",
        {"validation.texts": 8, "validation.most_texts": None, "validation.tokens": 192},
    ).validation
    settings, log = Settings(home=house.home), house.home / "published.log"
    serving = wanted.serving
    with serve(
        published,
        name="published",
        serving=serving,
        settings=settings.model_copy(
            update={"serve_python": Path(house.env["ROUNDHOUSE_SERVE_PYTHON"])}
        ),
        log=log,
        reporter=Silent(),
    ) as server:
        checks = check_canaries(server, tuple(CANARIES), Silent(), strict=True, context=1024)
        rows = list(read_rows(SOURCE / "assets" / "heldout.jsonl", "text"))
        texts = tokenize(server, rows, wanted, Silent())
        served = measure(server, texts, serving.logprobs, 4, Silent())
    assert all(check.passed for check in checks), checks
    one = expected_logprobs(published, texts, serving.logprobs)
    other = expected_logprobs(published, texts, serving.logprobs, attn_implementation="eager")
    floor, found = compare(one, other).metrics, compare(one, served).metrics
    assert found.mean_kl < NEARER * floor.mean_kl
    assert found.perplexity_ratio == pytest.approx(1, abs=0.03)
