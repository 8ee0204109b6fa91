"""The plan stage against the Hub stand-in."""

import json
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.local.environment import BUCKET
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.errors import (
    BAD_INPUT,
    BaseModelError,
    HubUnavailable,
    InputError,
    IntegrityError,
    PermanentError,
    RecipeError,
    ResourceError,
    ServingError,
    StoreError,
    TargetError,
)
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.core.records import Hardware, PlanRecord
from tasks.core.settings import Settings
from tasks.plan.plan import run
from tasks.plan.preview import lines as preview_lines
from tasks.plan.preview import preview
from tests.command import roundhouse
from tests.conftest import HubServer, S3Server, free_port
from tests.small_base import CARD, LAYERS, LINEARS, base_files, local_recipe

WHOLE = 200
ROOMY = Hardware(cpus=2, ram=64 << 30, disk_free=1 << 40)
H100 = ROOMY.model_copy(update={"gpu": "NVIDIA H100 80GB HBM3", "gpus": 1, "vram": 80 << 30})


class Desk:
    """All that a plan needs, with a base of its own."""

    def __init__(self, hub_server: HubServer, folder: Path) -> None:
        self.server = hub_server
        self.base = f"acme/{folder.name.replace('_', '-')}"[:90].rstrip("-.")
        self.home = folder / "home"
        self.recipe = local_recipe(folder / "data")
        self.settings = Settings(serve_python=Path(sys.executable))

    def seed(self, files: dict[str, bytes] | None = None) -> str:
        """Put files, those of a sound base where none are given, into the base's repository."""
        return self.server.seed(self.base, files or base_files())

    def plan(self, recipe: Recipe | None = None, **changes: Any) -> PlanRecord:
        """Plan with what suffices, changed by `changes`."""
        given: dict[str, Any] = {
            "revision": "main",
            "recipe": recipe or self.recipe,
            "target": "acme/out-NVFP4",
            "hub": self.server.hub(),
            "store": None,
            "settings": self.settings,
            "home": self.home,
            "reporter": Silent(),
            "hardware": ROOMY,
        }
        return run(self.base, **given | changes)

    def refused(self, kind: type[PermanentError], said: str, **changes: Any) -> str:
        """The message with which the plan is refused; nothing is written."""
        with pytest.raises(kind, match=said) as caught:
            self.plan(**changes)
        assert not list(self.home.rglob("plan.json"))
        return str(caught.value)


@pytest.fixture
def desk(hub_server: HubServer, tmp_path: Path) -> Desk:
    """A desk without a base yet."""
    return Desk(hub_server, tmp_path)


def test_a_plan_says_what_will_be_made(desk: Desk) -> None:
    """Commit, licence, data digests and sizes are those of what was put there."""
    commit = desk.seed()
    plan = desk.plan()
    assert plan.commit == commit
    assert plan.license == "gemma"
    assert plan.architecture == "Gemma4ForConditionalGeneration"
    assert plan.release_id.startswith(f"demo-{commit[:8]}-")
    assert set(plan.sources) == {"calibration.source", "validation.heldout"}
    assert plan.estimate.quantized_modules == LAYERS * len(LINEARS)
    assert plan.estimate.blocks == LAYERS
    written = json.loads((plan.path / "plan.json").read_text())
    assert written["release_id"] == plan.release_id
    assert written["recipe"]["name"] == "demo"
    assert commit in (plan.path / "plan.md").read_text()


def test_what_is_not_measured_goes_to_no_public_target(desk: Desk) -> None:
    """A lint-only release is refused a public target, and told that others must stay private."""
    desk.seed()
    light = local_recipe(desk.home.parent / "data", validation__profile="lint-only")
    public = f"{desk.base}-public"
    desk.server.seed(public, {"README.md": CARD})
    desk.refused(TargetError, "is public", recipe=light, target=public)
    assert desk.plan(target=public).target == public
    assert desk.plan(light).estimate.seconds["validate"] == 0


def test_no_weights_are_downloaded(desk: Desk) -> None:
    """What the Hub was asked for is listings, small files and the shards' headers."""
    padding = {"model-00002-of-00002.safetensors", "model-00001-of-00002.safetensors"}
    desk.seed()
    before = len(desk.server.requests())
    desk.plan()
    paths = [path for _, path, _ in desk.server.requests()[before:]]
    asked = {path.rsplit("/", 1)[-1] for path in paths if "/resolve/" in path}
    assert asked == {"config.json", "model.safetensors.index.json"} | padding
    assert not list((desk.home).rglob("*.safetensors"))


def test_the_same_plan_twice_is_one_plan(desk: Desk) -> None:
    """A second plan is the first one's files, also from a machine of another size."""
    desk.seed()
    first = desk.plan()
    second = desk.plan(hardware=H100)
    assert second.digest == first.digest
    assert second.release_id == first.release_id
    assert second.hardware == H100
    assert second.estimate.vram > 0


def test_a_new_commit_or_other_data_is_another_release(desk: Desk) -> None:
    """Base, recipe and rows are all in the name of the release."""
    desk.seed()
    first = desk.plan()
    other_recipe = desk.plan(local_recipe(desk.home.parent / "data", tuning__iters=7))
    other_data = desk.plan(local_recipe(desk.home.parent / "data", rows=33))
    desk.seed({"README.md": CARD + b"More.\n"})
    other_commit = desk.plan(local_recipe(desk.home.parent / "data"))
    plans = (first, other_recipe, other_data, other_commit)
    assert len({plan.release_id for plan in plans}) == len(plans)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"architectures": ["LlamaForCausalLM"]}, "Gemma4ForConditionalGeneration"),
        ({"architectures": []}, "no architectures"),
        ({"quantization_config": {"quant_method": "gptq"}}, r"quantized already[\s\S]*gptq"),
        ({"auto_map": {"AutoModel": "code.Model"}}, "brings its own code"),
        ({"text_config": {"enable_moe_block": True}}, "mixture of experts"),
    ],
)
def test_a_base_of_another_kind_is_refused(desk: Desk, config: dict[str, Any], said: str) -> None:
    """Architecture, earlier quantization, remote code and experts are told from config.json."""
    desk.seed(base_files(**config))
    desk.refused(BaseModelError, said)


def test_a_base_without_safetensors_is_refused(desk: Desk) -> None:
    """Pickled weights are named, and never fetched."""
    kept = {"config.json", "README.md"}
    files = {path: data for path, data in base_files().items() if path in kept}
    desk.seed(files | {"pytorch_model.bin": b"\x80\x04"})
    before = len(desk.server.requests())
    desk.refused(BaseModelError, r"pytorch_model\.bin")
    paths = [path for _, path, _ in desk.server.requests()[before:]]
    assert not [path for path in paths if path.endswith(".bin")]


def test_a_base_that_is_not_whole_is_refused(desk: Desk) -> None:
    """A truncated shard and a missing one are found before any download."""
    files = base_files()
    name = "model-00002-of-00002.safetensors"
    desk.seed(files | {name: files[name][:-10]})
    desk.refused(IntegrityError, "model-00002-of-00002")
    desk.base += "-2"
    del files[name]
    desk.seed(files)
    desk.refused(IntegrityError, "lacks shards")


def test_an_unknown_base_and_revision_are_refused(desk: Desk) -> None:
    """Each says what does not exist."""
    desk.refused(BaseModelError, "no repository")
    desk.seed()
    desk.refused(BaseModelError, "no such revision", revision="v9")


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        ({"calibration__nsamples": 33}, r"calibration.source has too few rows[\s\S]*32 rows"),
        ({"validation__texts": 33}, r"validation.heldout has too few rows"),
        ({"calibration__seqlen": 5000}, r"seqlen 5000"),
        ({"validation__serving__max_model_len": 5000}, r"max_model_len 5000"),
        ({"keep": [".*"]}, "quantizes nothing"),
        ({"calibration__source": {"files": "nowhere/*.jsonl"}}, "no data file matches"),
    ],
)
def test_a_recipe_that_does_not_fit_is_refused(
    desk: Desk, overrides: dict[str, Any], said: str
) -> None:
    """Too few rows, too long samples, nothing to quantize, no data: RecipeError, with figures."""
    desk.seed()
    recipe = local_recipe(desk.home.parent / "data", **overrides)
    desk.refused(RecipeError, said, recipe=recipe)


def test_image_rows_must_have_images(desk: Desk) -> None:
    """A source of images whose rows name none is refused before anything runs."""
    desk.seed()
    source = {"files": str(desk.home.parent / "data" / "calibration.jsonl")}
    recipe = local_recipe(
        desk.home.parent / "data", calibration__images=source, calibration__image_samples=4
    )
    desk.refused(RecipeError, "name no image", recipe=recipe)


@pytest.mark.parametrize(
    ("hardware", "said"),
    [
        (ROOMY.model_copy(update={"disk_free": 1 << 20}), r"disk is too small[\s\S]*1\.0 MB free"),
        (ROOMY.model_copy(update={"ram": 1 << 30}), "too little memory"),
        (H100.model_copy(update={"vram": 1 << 10}), "accelerator has too little memory"),
        (H100.model_copy(update={"vram": 1 << 10}), "does not fit the accelerators"),
    ],
)
def test_a_machine_that_is_too_small_is_refused(desk: Desk, hardware: Hardware, said: str) -> None:
    """Disk, memory, VRAM for tuning and VRAM for serving: what is needed and what there is."""
    desk.seed()
    desk.refused(ResourceError, said, hardware=hardware)


def test_a_missing_serving_environment_is_refused(desk: Desk) -> None:
    """The remedy names the command that makes it."""
    desk.seed()
    settings = Settings(serve_python=desk.home / "no" / "python")
    desk.refused(ServingError, "make serve", settings=settings)


def test_a_taken_port_is_refused(desk: Desk) -> None:
    """A fixed port that somebody listens on is found before the model is quantized."""
    desk.seed()
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        settings = desk.settings.model_copy(update={"serve_port": taken.getsockname()[1]})
        desk.refused(ServingError, "is taken", settings=settings)
    desk.plan(settings=settings)


def test_a_target_that_cannot_be_written_is_refused(desk: Desk) -> None:
    """A reading token, a foreign namespace, and the base itself; no target is no check."""
    desk.seed()
    desk.refused(TargetError, "role read", hub=desk.server.hub("reader"))
    desk.refused(TargetError, "namespace acme", hub=desk.server.hub("stranger"))
    desk.refused(TargetError, "the base itself", target=desk.base)
    desk.plan(target="", hub=desk.server.hub("reader"))


def test_a_bucket_that_cannot_be_written_is_refused(desk: Desk, s3_server: S3Server) -> None:
    """A missing bucket stops the plan; the right one does not."""
    desk.seed()
    store = s3_server.store()
    wrong = desk.settings.model_copy(update={"archive": "s3://no-such-bucket/releases"})
    desk.refused(StoreError, "no-such-bucket", settings=wrong, store=store)
    right = desk.settings.model_copy(update={"archive": s3_server.settings().archive})
    assert desk.plan(settings=right, store=store).commit


def test_everything_is_said_at_once(desk: Desk) -> None:
    """Five mistakes are one error of the first one's kind that names all five."""
    desk.seed(base_files(quantization_config={"quant_method": "awq"}))
    said = desk.refused(
        InputError,
        "5 things",
        recipe=local_recipe(desk.home.parent / "data", rows=3),
        hub=desk.server.hub("stranger"),
        settings=Settings(serve_python=Path("/no/python")),
    )
    for part in ("calibration.source", "validation.heldout", "namespace", "make serve", "awq"):
        assert part in said


def test_a_hub_that_is_away_is_worth_another_attempt(desk: Desk) -> None:
    """A transient error passes through, whatever else is wrong."""
    nowhere = Hub(f"http://127.0.0.1:{free_port()}")
    with pytest.raises(HubUnavailable):
        desk.plan(hub=nowhere, settings=Settings(serve_python=Path("/no/python")))


def test_a_preview_says_what_stands_in_the_way(desk: Desk) -> None:
    """A preview writes nothing, refuses nothing that was readable, and lists the problems."""
    desk.seed(base_files(quantization_config={"quant_method": "awq"}))
    settings = Settings(serve_python=Path("/no/python"), home=desk.home)
    found = preview(desk.base, "main", desk.recipe, desk.server.hub(), settings)
    assert "quantized already" in " ".join(found["problems"])
    assert "make serve" in " ".join(found["problems"])
    assert found["estimate"]["quantized_modules"] == LAYERS * len(LINEARS)
    assert json.loads(json.dumps(found)) == found
    assert "quantized already" in preview_lines(found)["problem 1"]
    assert not desk.home.exists()


def test_reading_rights_are_named_before_anything_is_fetched(
    desk: Desk, hub_server: HubServer, s3_server: S3Server
) -> None:
    """A token and a key that only read: one error names both; no weights came, nothing was written.

    Of the Hub only reading was asked, and the base's shards not beyond their headers.
    """
    desk.seed()
    reader = s3_server.settings(serve_python=desk.settings.serve_python, **s3_server.reader())
    before, since = _objects(s3_server), len(hub_server.requests())
    said = desk.refused(
        TargetError,
        "2 things",
        hub=hub_server.hub("reader"),
        store=Store.from_settings(reader),
        settings=reader,
    )
    for part in ("role read", "HF_TOKEN", "do not allow it", "s3://artifacts/releases"):
        assert part in said
    asked = hub_server.requests()[since:]
    assert {method for method, _, _ in asked} <= {"GET", "HEAD"}
    fetched = [path for method, path, status in asked if method == "GET" and status == WHOLE]
    assert not [path for path in fetched if path.endswith(".safetensors")]
    assert _objects(s3_server) == before


def _objects(s3_server: S3Server) -> set[str]:
    pages = s3_server.client().get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
    return {item["Key"] for page in pages for item in page.get("Contents", [])}


def test_reading_rights_are_enough_to_plan(desk: Desk, hub_server: HubServer) -> None:
    """`roundhouse plan` needs a token that reads, or none where the base is open; no keys of S3."""
    desk.seed()
    since = len(hub_server.requests())
    for who in ("reader", ""):
        said = roundhouse(
            *("plan", desk.base, "--recipe", "light", "--json"),
            HF_ENDPOINT=hub_server.url,
            HF_TOKEN=hub_server.token(who),
            AWS_ENDPOINT_URL_S3=f"http://127.0.0.1:{free_port()}",
            ROUNDHOUSE_HOME=str(desk.home),
            ROUNDHOUSE_SERVE_PYTHON=sys.executable,
        )
        assert said.status in {0, BAD_INPUT}, said.err  # the machine may be too small
        assert json.loads(said.out)["estimate"]["quantized_modules"] == LAYERS * len(LINEARS)
    assert {method for method, _, _ in hub_server.requests()[since:]} <= {"GET", "HEAD"}
    assert not desk.home.exists()
