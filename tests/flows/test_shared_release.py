"""A release whose stages run on machines that have nothing in common but an S3 prefix."""

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tasks.core.recipe import Recipe, load_recipe
from tasks.core.settings import Settings
from tests.clients.machines import Told
from tests.conftest import HubServer, S3Server
from tests.flows.shared_chain import Host

pytestmark = pytest.mark.heavy
WORDS = "river stone lamp window garden letter winter copper market engine".split()  # noqa: SIM905
LAYERS, DATA = 4, "acme/shared-data"


@pytest.fixture(scope="module")
def base(hub_server: HubServer, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A base of four decoder blocks, and data, on the Hub."""
    from infra.local.base_model.build import build

    folder = tmp_path_factory.mktemp("base") / "model"
    build(folder, layers=LAYERS)
    files = {p.relative_to(folder).as_posix(): p for p in folder.rglob("*") if p.is_file()}
    hub_server.seed("acme/shared-base", {name: path.read_bytes() for name, path in files.items()})
    texts = {
        f"{kind}.jsonl": "".join(
            json.dumps({"text": f"{kind} {_prose(number)}"}) + "\n" for number in range(24)
        ).encode()
        for kind in ("calibration", "heldout")
    }
    hub_server.seed(DATA, texts, "dataset")
    return "acme/shared-base"


def _prose(seed: int) -> str:
    return " ".join(f"{WORDS[(seed * 7 + n * n) % 10]} {seed * 31 + n}" for n in range(90))


def _recipe() -> Recipe:
    changes: dict[str, Any] = {
        "calibration.source": {"repo": DATA, "files": "calibration.jsonl"},
        "calibration.images": None,
        "calibration.image_samples": 0,
        "calibration.nsamples": 8,
        "calibration.seqlen": 96,
        "validation.heldout": {"repo": DATA, "files": "heldout.jsonl"},
        "validation.tasks": [],
        "validation.texts": 8,
        "tuning.batch_size": 4,
        "tuning.iters": 0,
    }
    return load_recipe("demo", changes)


class Cluster:
    """Machines that share one prefix."""

    def __init__(self, folder: Path, hub: HubServer, s3: S3Server) -> None:
        self.uri = f"s3://artifacts/shared/{uuid4().hex}"
        self._folder, self._hub, self._s3 = folder, hub, s3
        serve = folder / "python"
        serve.touch(mode=0o755)
        self._serve = serve

    def settings(self, name: str) -> Settings:
        """Of one machine."""
        return self._s3.settings(
            home=self._folder / name,
            workspace=self.uri,
            hub_endpoint=self._hub.url,
            hub_token=self._hub.token(),
            serve_python=self._serve,
        )

    def host(self, name: str) -> Host:
        """One machine."""
        return Host(self.settings(name), Told())


@pytest.fixture
def cluster(tmp_path: Path, hub_server: HubServer, s3_server: S3Server) -> Cluster:
    return Cluster(tmp_path, hub_server, s3_server)


def test_stages_on_alternating_machines(cluster: Cluster, base: str) -> None:
    """Each stage runs where the one before did not; in the end both have one checkpoint.

    A third machine, which made nothing, is given every stage without making or bringing anything.
    """
    one, two, three = (cluster.host(name) for name in ("one", "two", "three"))
    recipe = _recipe()
    planned = one.plan(base, recipe)
    downloaded = two.download(planned)
    calibrated = one.calibrate(planned, downloaded, recipe)
    quantized = two.quantize(planned, downloaded, calibrated, recipe)
    converted = one.convert(planned, downloaded, quantized, recipe)
    converted.verify()
    assert converted.quantized_modules
    assert converted.path.is_relative_to(one.home)
    assert two.convert(planned, downloaded, quantized, recipe).digest == converted.digest
    assert three.plan(base, recipe).digest == planned.digest
    assert three.download(planned).digest == downloaded.digest
    assert three.calibrate(planned, downloaded, recipe).digest == calibrated.digest
    assert three.quantize(planned, downloaded, calibrated, recipe).digest == quantized.digest
    assert three.convert(planned, downloaded, quantized, recipe).digest == converted.digest
    assert not list(three.home.rglob("*.safetensors"))
