"""Weights of an archived release beside a base's new tokenizer: real archive, real convert."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tasks.convert import convert
from tasks.convert.convert import build
from tasks.core.errors import InputError, IntegrityError
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.workspace import Workspace
from tasks.reuse import reuse
from tasks.reuse.archived import Archived
from tasks.sign.keys import read_public_key
from tasks.sign.signer import Verifier
from tasks.upload.card import render
from tests.archived_case import Case, overwrite
from tests.conftest import Keys, S3Server
from tests.fake_release import RECIPE, make_base, make_output
from tests.finished_stages import randomly
from tests.reuse.contents import contents

SILENT = Silent()


@dataclass
class World:
    """An archived release, and the base it was made of."""

    case: Case
    uri: str
    base: dict[str, bytes]
    verifier: Verifier
    home: Path

    def moved(
        self, change: Callable[[dict[str, bytes]], None]
    ) -> tuple[PlanRecord, DownloadRecord]:
        """Plan and download of the base's next commit, on another machine."""
        files = dict(self.base)
        change(files)

        def make(folder: Path) -> dict[str, object]:
            for name, data in files.items():
                (folder / name).write_bytes(data)
            return {"base": "acme/base-it", "commit": "f" * 40}

        workspace = Workspace.of_base(self.home, "acme/base-it", "f" * 40)
        download = workspace.run("download", DownloadRecord, {"commit": "f" * 40}, make)
        plan = self.case.sources.plan.model_copy(update={"release_id": "demo-ffffffff-1"})
        return plan, download

    def take(
        self, plan: PlanRecord, download: DownloadRecord, recipe: Recipe = RECIPE
    ) -> ConvertRecord:
        """Reuse, then convert."""
        _, quantize = self.take_only(plan, download, recipe)
        return convert.run(plan, download, quantize, recipe=recipe, home=self.home, reporter=SILENT)

    def take_only(
        self, plan: PlanRecord, download: DownloadRecord, recipe: Recipe = RECIPE
    ) -> reuse.Made:
        """Reuse alone."""
        return reuse.run(
            plan,
            download,
            archive=self.uri,
            recipe=recipe,
            store=self.case.store,
            verifier=self.verifier,
            home=self.home,
            reporter=SILENT,
        )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of a base, AutoRound's output and the converted release."""
    folder = tmp_path_factory.mktemp("built")
    make_base(folder / "base")
    make_output(folder / "base", folder / "output")
    build(folder / "release", folder / "base", folder / "output", RECIPE, SILENT)
    return folder


@pytest.fixture
def world(s3_server: S3Server, keys: Keys, built: Path, tmp_path: Path) -> World:
    files = {"download": "base", "quantize": "output", "convert": "release"}
    case = Case.make(
        s3_server,
        tmp_path / "home",
        randomly("acme/release"),
        keys,
        files={
            stage: {n: d for n, d in contents(built / name).items() if "/" not in n}
            for stage, name in files.items()
        },
    )
    download = case.sources.download
    base = {file.path: (download.path / file.path).read_bytes() for file in download.files}
    return World(
        case, case.run().uri, base, Verifier(read_public_key(keys.public)), tmp_path / "elsewhere"
    )


def longer(files: dict[str, bytes]) -> None:
    """What the tokenizer's commit changes."""
    config = json.loads(files["tokenizer_config.json"]) | {"model_max_length": 123}
    files["tokenizer_config.json"] = json.dumps(config).encode()


def test_old_weights_beside_new_metadata(world: World, built: Path) -> None:
    """Every shard and the index are the archived release's bytes; the tokenizer is the new one."""
    plan, download = world.moved(longer)
    converted = world.take(plan, download)
    shards = {f.path: f.sha256 for f in converted.files if "safetensors" in f.path}
    before = {
        f.path: f.sha256
        for f in world.case.sources.convert.files
        if "safetensors" in f.path and (built / "release" / f.path).is_file()
    }
    assert shards == before
    now = contents(converted.path)
    assert json.loads(now["tokenizer_config.json"])["model_max_length"] == 123
    assert now["config.json"] == (built / "release" / "config.json").read_bytes()
    kept = "roundhouse/autoround_config.json"
    assert now[kept] == (built / "release" / kept).read_bytes()


def test_records_tell_whose_weights_they_are(world: World) -> None:
    """Facts and seconds are the archived ones, and the release they come from is named."""
    plan, download = world.moved(longer)
    calibrate, quantize = world.take_only(plan, download)
    archived = Archived.read(world.uri, world.case.store, None)
    assert quantize.reused == archived.plan.release_id
    assert (quantize.tuner, quantize.blocks) == (archived.quantize.tuner, archived.quantize.blocks)
    assert quantize.seconds == archived.quantize.seconds
    assert calibrate.set_digest == archived.calibrate.set_digest
    calibrate.verify()
    quantize.verify()


def test_what_was_taken_is_not_taken_again(world: World) -> None:
    """A second run finds both stages, also when the archive is gone meanwhile."""
    plan, download = world.moved(longer)
    first = world.take_only(plan, download)
    world.uri = "s3://artifacts/nowhere"
    assert world.take_only(plan, download) == first


def test_other_base_weights_are_refused(world: World) -> None:
    """A base whose shard changed cannot have the old release's weights; the shard is named."""
    shard = next(name for name in world.base if name.startswith("model-0000"))

    def other(files: dict[str, bytes]) -> None:
        files[shard] = files[shard][:-1] + bytes([files[shard][-1] ^ 1])

    with pytest.raises(InputError, match=shard):
        world.take(*world.moved(other))


def test_a_recipe_that_shapes_other_weights_is_refused(world: World) -> None:
    """Other iterations are refused; other limits, name and description are not."""
    plan, download = world.moved(longer)
    tuning = RECIPE.tuning.model_copy(update={"iters": 9})
    with pytest.raises(InputError, match="shapes other weights"):
        world.take(plan, download, RECIPE.model_copy(update={"tuning": tuning}))
    judging = RECIPE.validation.model_copy(update={"texts": 3})
    other = {"validation": judging, "name": "stricter", "description": "other"}
    world.take(plan, download, RECIPE.model_copy(update=other))


@pytest.mark.parametrize("path", ["records/quantize.json", "manifest.json", "checkpoint/{shard}"])
def test_a_changed_archive_is_refused(world: World, s3_server: S3Server, path: str) -> None:
    """Changed records, a changed manifest and changed weights are refused; nothing is left."""
    shard = next(f.path for f in world.case.sources.convert.files if "safetensors" in f.path)
    uri = f"{world.uri}/{path.format(shard=shard)}"
    overwrite(s3_server, uri, world.case.store.read(uri).replace(b"1", b"2", 1))
    plan, download = world.moved(longer)
    with pytest.raises(IntegrityError):
        world.take(plan, download)
    quantize = Workspace.of_release(world.home, plan.release_id).folder("quantize")
    assert not quantize.exists()


def test_an_archive_that_is_not_whole_is_refused(world: World) -> None:
    """Without a manifest there is no archive, and the error says what to do instead."""
    plan, download = world.moved(longer)
    world.uri += "-not-there"
    with pytest.raises(InputError, match="no whole archive"):
        world.take(plan, download)


def test_the_card_says_whose_weights_they_are(world: World) -> None:
    """The card of a release of archived weights names the release that they were made for."""
    own = world.case.sources
    taken = own.quantize.model_copy(update={"reused": "demo-cafecafe-0123456789"})
    told = [
        render(replace(own, quantize=q), "https://hub.example", "key")
        for q in (own.quantize, taken)
    ]
    assert ["demo-cafecafe-0123456789" in card for card in told] == [False, True]
