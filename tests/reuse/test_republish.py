"""A release of archived weights on the Hub: one more tagged commit, not one new large file."""

import json
from pathlib import Path

import pytest

from tasks.archive.archive import run as archive
from tasks.convert import convert
from tasks.convert.convert import build
from tasks.core.gate_records import ValidateRecord
from tasks.core.progress import Silent
from tasks.core.records import DownloadRecord, Release
from tasks.core.workspace import Workspace
from tasks.reuse import reuse
from tasks.sign.keys import read_public_key
from tasks.sign.signer import Verifier
from tasks.upload.upload import run as upload
from tests.conftest import HubServer, Keys, S3Server
from tests.fake_release import RECIPE, make_base, make_output
from tests.finished_stages import FACTS, FILES, finish_stages, randomly
from tests.reuse.contents import contents

SILENT = Silent()
NEXT = "f" * 40


@pytest.fixture
def first(tmp_path: Path) -> Release:
    """The first release, its weights really packed and converted."""
    base, output, made = (tmp_path / name for name in ("base", "output", "made"))
    make_base(base)
    make_output(base, output)
    build(made, base, output, RECIPE, SILENT)
    folders = {"download": base, "quantize": output, "convert": made}
    files = {
        stage: {n: d for n, d in contents(folder).items() if "/" not in n}
        for stage, folder in folders.items()
    }
    return finish_stages(tmp_path / "home", randomly("roundhouse/release"), files=files)


def followed(first: Release, home: Path, reused: reuse.Made, download: DownloadRecord) -> Release:
    """The next release: converted for real, validated by word of mouth."""
    plan = first.plan.model_copy(update={"release_id": "demo-ffffffff-1", "commit": NEXT})
    calibrate, quantize = reused
    converted = convert.run(plan, download, quantize, recipe=RECIPE, home=home, reporter=SILENT)

    def judge(folder: Path) -> dict[str, object]:
        for name, data in FILES["validate"].items():
            (folder / name).write_bytes(data)
        return FACTS["validate"]

    inputs = {"convert": converted.digest}
    workspace = Workspace.of_release(home, plan.release_id)
    validated = workspace.run("validate", ValidateRecord, inputs, judge)
    return Release(plan, download, calibrate, quantize, converted, validated, RECIPE)


def test_the_hub_keeps_the_weights_it_has(
    first: Release, hub_server: HubServer, s3_server: S3Server, keys: Keys, tmp_path: Path
) -> None:
    """Same LFS digests of every shard, another tokenizer, two tags, no large file sent again."""
    settings = s3_server.settings(signing_key=keys.private)
    hub, store, home = hub_server.hub(), s3_server.store(), tmp_path / "elsewhere"
    published = upload(first, hub=hub, settings=settings, home=tmp_path / "home", reporter=SILENT)
    archived = archive(
        first, published, store=store, home=tmp_path / "home", settings=settings, reporter=SILENT
    )

    files = {f.path: (first.download.path / f.path).read_bytes() for f in first.download.files}
    longer = json.loads(files["tokenizer_config.json"]) | {"model_max_length": 123}
    files["tokenizer_config.json"] = json.dumps(longer).encode()

    def fetch(folder: Path) -> dict[str, object]:
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return {"base": first.plan.base, "commit": NEXT}

    bases = Workspace.of_base(home, first.plan.base, NEXT)
    download = bases.run("download", DownloadRecord, {"commit": NEXT}, fetch)
    plan = first.plan.model_copy(update={"release_id": "demo-ffffffff-1", "commit": NEXT})
    taken = reuse.run(
        plan,
        download,
        archive=archived.uri,
        recipe=RECIPE,
        store=store,
        verifier=Verifier(read_public_key(keys.public)),
        home=home,
        reporter=SILENT,
    )
    second = followed(first, home, taken, download)
    before = len(hub_server.requests())
    again = upload(second, hub=hub, settings=settings, home=home, reporter=SILENT)
    sent = [path for method, path, _ in hub_server.requests()[before:] if method == "PUT"]

    old, new = (
        {f.path: f for f in hub.files(published.repo, made.commit)} for made in (published, again)
    )
    shards = {path for path in old if path.endswith(".safetensors")}
    assert shards == {path for path in new if path.endswith(".safetensors")}
    assert {old[path].sha256 for path in shards} == {new[path].sha256 for path in shards}
    assert old["tokenizer_config.json"].blob_id != new["tokenizer_config.json"].blob_id
    assert set(hub.tags(published.repo)) == {first.plan.release_id, plan.release_id}
    assert sent == []
