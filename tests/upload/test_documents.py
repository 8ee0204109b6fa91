"""Provenance, bill of materials, changelog and signature, as their own tools read them."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from pydantic import HttpUrl, TypeAdapter

from tasks.core.digest import sha256_file
from tasks.core.errors import IntegrityError
from tasks.core.manifest import relative_files
from tasks.core.progress import Silent
from tasks.core.published import BOM, CHANGELOG, PROVENANCE, SIGNATURE, SUMS
from tasks.core.records import Release, UploadRecord
from tasks.core.settings import Settings
from tasks.core.versions import installed
from tasks.upload.base_card import read_base_card
from tasks.upload.bom import bill_of_materials
from tasks.upload.documents import check_signature, sign, write_documents
from tasks.upload.former import find_former
from tasks.upload.upload import run
from tests.conftest import HubServer, Keys
from tests.finished_stages import METRICS, finish_stages, randomly

HUB = "https://hub.example"
VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)
Publish = Callable[..., UploadRecord]


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return finish_stages(tmp_path / "home", "acme/small-NVFP4")


@pytest.fixture
def documents(release: Release, keys: Keys, tmp_path: Path) -> Path:
    folder = tmp_path / "documents"
    folder.mkdir()
    write_documents(release, folder, hub_url=HUB, former=None, signer=keys.signer)
    sign(release, folder, keys.signer)
    return folder


@pytest.fixture
def publish(hub_server: HubServer, keys: Keys) -> Publish:
    def publish_it(release: Release, home: Path) -> UploadRecord:
        values = {"hub_endpoint": hub_server.url, "hub_token": hub_server.token()}
        settings = Settings.model_validate(values | {"home": home, "signing_key": keys.private})
        return run(release, hub=hub_server.hub(), settings=settings, home=home, reporter=Silent())

    return publish_it


def statement_of(documents: Path, keys: Keys) -> dict[str, Any]:
    return keys.signer.verifier.statement((documents / PROVENANCE).read_bytes(), PROVENANCE)


def test_in_toto_reads_the_provenance(documents: Path, keys: Keys) -> None:
    """Its protocol buffers take statement and SLSA predicate whole: no unknown field, all there."""
    told = statement_of(documents, keys)
    statement = json_format.ParseDict(told, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    provenance = json_format.ParseDict(told["predicate"], provenance_pb2.Provenance())
    assert statement.predicate_type == "https://slsa.dev/provenance/v1"
    assert provenance.build_definition.build_type == "urn:roundhouse:release:v1"
    assert len(provenance.build_definition.resolved_dependencies) > 5
    assert provenance.run_details.metadata.invocation_id.startswith("demo-")
    assert provenance.run_details.builder.version == installed("roundhouse")


def test_provenance_names_what_it_was_made_of(
    documents: Path, release: Release, keys: Keys
) -> None:
    """Recipe, base commit and shards, data, calibration set, packages, and the gate's report."""
    made = statement_of(documents, keys)["predicate"]
    build = made["buildDefinition"]
    assert build["externalParameters"]["recipe"] == release.recipe.model_dump(mode="json")
    found = {d.get("name", d.get("uri")): d for d in build["resolvedDependencies"]}
    assert found[f"{HUB}/acme/base-it"]["digest"] == {"gitCommit": release.plan.commit}
    shard = release.download.file("model.safetensors")
    assert found["model.safetensors"]["digest"] == {"sha256": shard.sha256}
    assert found["calibration"]["digest"] == {"sha256": release.calibrate.set_digest}
    assert found["data:calibration.source"]["digest"] == {"gitCommit": "abc"}
    assert found["auto-round"]["uri"] == "pkg:pypi/auto-round@0.16.1"
    (verdict,) = [b for b in made["runDetails"]["byproducts"] if b["name"] == "verdict"]
    assert verdict["annotations"]["verdict"] == "ACCEPT"
    assert verdict["annotations"]["metrics"] == METRICS.model_dump(mode="json")


def test_every_file_is_named_by_provenance_digests_and_signature(
    documents: Path, release: Release, keys: Keys
) -> None:
    """Each list covers all files that were there before it, by their real bytes."""
    own = {f.path: sha256_file(release.convert.path / f.path) for f in release.convert.files}
    all_files = own | {p: sha256_file(documents / p) for p in relative_files(documents)}
    subjects = {s["name"]: s["digest"]["sha256"] for s in statement_of(documents, keys)["subject"]}
    lines = (documents / SUMS).read_text().splitlines()
    sums = {line[66:]: line[:64] for line in lines}
    signed = keys.signer.verifier.files((documents / SIGNATURE).read_bytes())
    later = [SIGNATURE, SUMS, PROVENANCE]
    for listed in (signed, sums, subjects):
        del all_files[later.pop(0)]
        assert listed == all_files


def test_a_document_that_changes_after_signing_is_found(
    documents: Path, release: Release, keys: Keys
) -> None:
    """Card and signature part: it is named, and nothing goes out."""
    check_signature(release, documents, keys.signer)
    (documents / "README.md").write_text("another card")
    with pytest.raises(IntegrityError, match=r"README\.md"):
        check_signature(release, documents, keys.signer)


def test_weights_that_changed_since_their_record_are_not_sent(
    publish: Publish, hub_server: HubServer, tmp_path: Path
) -> None:
    """Of the same size, so that only their bytes tell: the file is named, nothing was uploaded."""
    release = finish_stages(tmp_path, randomly("acme/changed"))
    shard = release.convert.path / "model-00001-of-00002.safetensors"
    shard.write_bytes(b"X" + shard.read_bytes()[1:])
    before = len(hub_server.requests())
    with pytest.raises(IntegrityError, match="model-00001-of-00002"):
        publish(release, tmp_path)
    assert not [path for _, path, _ in hub_server.requests()[before:] if "lfs" in path]
    assert hub_server.hub().tags(release.plan.target) == {}


def test_the_bill_of_materials_is_valid(documents: Path) -> None:
    """CycloneDX' strict validator for 1.6 takes it, and refuses it with one key misspelled."""
    text = (documents / BOM).read_text()
    assert VALIDATOR.validate_str(text) is None
    for old, new in [("modelCard", "modelcard"), ("SHA-256", "SHA256"), ("machine-l", "l")]:
        assert VALIDATOR.validate_str(text.replace(old, new)) is not None


def test_addresses_in_the_bill_are_addresses(documents: Path) -> None:
    """The validator checks no IRI without further packages, so they are checked here."""
    base = json.loads((documents / BOM).read_text())["metadata"]["component"]["pedigree"]
    (reference,) = base["ancestors"][0]["externalReferences"]
    assert str(TypeAdapter(HttpUrl).validate_python(reference["url"])) == f"{HUB}/acme/base-it"


def test_the_bill_holds_files_base_and_results(documents: Path, release: Release) -> None:
    """Digest of every file of the model and of the base's shards; figures as measured."""
    model = json.loads((documents / BOM).read_text())["metadata"]["component"]
    hashes = {c["name"]: c["hashes"][0]["content"] for c in model["components"]}
    assert hashes == {f.path: f.sha256 for f in release.convert.files}
    (base,) = model["pedigree"]["ancestors"]
    assert base["purl"] == f"pkg:huggingface/acme/base-it@{release.plan.commit}"
    assert [c["name"] for c in base["components"]] == ["model.safetensors"]
    metrics = model["modelCard"]["quantitativeAnalysis"]["performanceMetrics"]
    values = {m["type"]: m["value"] for m in metrics}
    assert values["perplexity"] == "11.3437"
    assert values["mean KL divergence, top 20, nats a token"] == "0.03125"


def test_a_bill_of_odd_records_is_valid(release: Release) -> None:
    """A base without licence, other figures, no packages: still by the schema."""
    bare = replace(
        release,
        plan=release.plan.model_copy(update={"license": "", "sources": {}}),
        quantize=release.quantize.model_copy(update={"versions": {}}),
    )
    card = read_base_card(bare.download).model_copy(update={"license": None})
    bom = bill_of_materials(bare, card, HUB)
    assert VALIDATOR.validate_str(json.dumps(bom)) is None
    assert "licenses" not in bom["metadata"]["component"]


def test_the_changelog_tells_what_changed(
    publish: Publish, hub_server: HubServer, tmp_path: Path
) -> None:
    """A second release of a target lists recipe, packages and figures against the first."""
    target = randomly("acme/log")
    first = publish(finish_stages(tmp_path, target, "demo-01234567-first"), tmp_path)
    assert "The first release that stands here." in (first.path / CHANGELOG).read_text()
    facts: dict[str, dict[str, Any]] = {
        "quantize": {"versions": {"auto-round": "0.17.0", "torch": "2.13.0"}},
        "validate": {"metrics": METRICS.model_copy(update={"mean_kl": 0.02})},
    }
    second = finish_stages(tmp_path, target, "demo-01234567-second", facts=facts)
    tuning = second.recipe.tuning.model_copy(update={"iters": 77})
    second = replace(second, recipe=second.recipe.model_copy(update={"tuning": tuning}))
    record = publish(second, tmp_path)
    text = (record.path / CHANGELOG).read_text()
    before = f"{finish_stages(tmp_path, target, 'demo-01234567-first').recipe.tuning.iters}"
    for row in (
        "After `demo-01234567-first`.",
        f"| `recipe.tuning.iters` | `{before}` | `77` |",
        "| `package auto-round` | `0.16.1` | `0.17.0` |",
        "| `mean KL divergence` | `0.03125` | `0.02000` |",
    ):
        assert row in text
    assert "package torch" not in text
    assert text.index("second") < text.index("## demo-01234567-first")
    assert text.endswith((first.path / CHANGELOG).read_text().removeprefix("# Changelog\n"))
    there = hub_server.hub().read_small(target, record.commit, CHANGELOG)
    assert there.decode() == text


def test_a_changelog_that_we_did_not_sign_is_not_carried_on(
    publish: Publish, hub_server: HubServer, keys: Keys, tmp_path: Path
) -> None:
    """Text that somebody put there, or a release of another key: it starts anew."""
    target = randomly("acme/log")
    publish(finish_stages(tmp_path, target, "demo-01234567-first"), tmp_path)
    hub, api = hub_server.hub(), hub_server.api()
    head = hub.head(target)
    other = Keys.make(tmp_path / "other").signer.verifier
    assert find_former(target, head, hub, keys.signer.verifier) is not None
    assert find_former(target, head, hub, other) is None
    api.upload_file(
        path_or_fileobj=b"# Changelog\n<script>", path_in_repo=CHANGELOG, repo_id=target
    )
    record = publish(finish_stages(tmp_path, target, "demo-01234567-second"), tmp_path)
    text = (record.path / CHANGELOG).read_text()
    assert "script" not in text
    assert "The first release that stands here." in text


def test_two_targets_of_one_release_keep_their_own_documents(
    publish: Publish, hub_server: HubServer, tmp_path: Path
) -> None:
    """Publishing to one, the other, and the first again makes nothing anew."""
    targets = [randomly("acme/one"), randomly("acme/two")]
    releases = [finish_stages(tmp_path, target) for target in targets]
    made = [publish(release, tmp_path) for release in releases]
    written = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("targets/*/upload/**/*")}
    before = len(hub_server.requests())
    for target, first in zip(targets, made, strict=True):
        again = finish_stages(tmp_path, target)
        assert publish(again, tmp_path) == first
    assert {m for m, _, _ in hub_server.requests()[before:]} <= {"GET", "HEAD"}
    assert written == {p: p.stat().st_mtime_ns for p in tmp_path.rglob("targets/*/upload/**/*")}
    assert made[0].path != made[1].path
