"""What travels with the weights: card, changelog, recipe, evidence, provenance, digests, signature.

The order is that of trust: the provenance names every file before it, the list of digests names the
provenance too, and the signature, made last, covers all of them.
"""

import shutil
from pathlib import Path

import yaml

from tasks.core.digest import indented_json, sha256_file
from tasks.core.errors import IntegrityError
from tasks.core.manifest import relative_files
from tasks.core.published import (
    BOM,
    CARD,
    CHANGELOG,
    EVAL_RESULTS,
    EVIDENCE,
    PROVENANCE,
    RECIPE,
    SIGNATURE,
    SUMS,
)
from tasks.core.records import Release
from tasks.sign.signer import Signer
from tasks.upload.base_card import read_base_card
from tasks.upload.bom import bill_of_materials
from tasks.upload.card import render
from tasks.upload.changelog import changelog
from tasks.upload.eval_results import eval_results
from tasks.upload.former import Former
from tasks.upload.provenance import provenance


def write_documents(
    release: Release, folder: Path, *, hub_url: str, former: Former | None, signer: Signer
) -> None:
    """Write the documents of a release into an empty folder; all but the signature.

    Args:
        release: the records and the recipe.
        folder: takes them.
        hub_url: address of the Hub, for links.
        former: the release that stands at the target.
        signer: signs the provenance.

    Raises:
        InputError: a record's value cannot stand in a shell command.
    """
    _copy_evidence(release, folder)
    recipe = release.recipe.model_dump(mode="json")
    (folder / RECIPE).write_text(yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True))
    bom = bill_of_materials(release, read_base_card(release.download), hub_url)
    (folder / BOM).write_text(indented_json(bom))
    if results := eval_results(release, hub_url):
        (folder / EVAL_RESULTS).parent.mkdir()
        (folder / EVAL_RESULTS).write_text(results)
    (folder / CHANGELOG).write_text(changelog(release, former))
    (folder / CARD).write_text(render(release, hub_url, signer.verifier.name))
    statement = provenance(release, digests(release, folder), hub_url)
    (folder / PROVENANCE).write_bytes(signer.line(statement))
    (folder / SUMS).write_text(_sums(digests(release, folder)))


def sign(release: Release, folder: Path, signer: Signer) -> None:
    """Write `model.sig` over the model's files, as they are recorded, and the documents.

    The commit compares what is really sent with these digests.

    Args:
        release: the records.
        folder: with the documents; takes the signature.
        signer: signs.
    """
    name = release.plan.target.partition("/")[2]
    signer.sign(name, digests(release, folder), folder)


def check_signature(release: Release, folder: Path, signer: Signer) -> None:
    """Raise unless `model.sig` covers exactly the model's files and the documents in `folder`.

    Raises:
        IntegrityError: names the files in which they differ, or the signature is not the key's.
    """
    if not (folder / SIGNATURE).is_file():
        raise IntegrityError(
            f"{release.plan.target} holds this release without a signature",
            expected=SIGNATURE,
            remedy=f"delete the tag {release.plan.release_id} there to publish the release anew",
        )
    signed = signer.verifier.files((folder / SIGNATURE).read_bytes())
    there = digests(release, folder)
    there.pop(SIGNATURE, None)
    if differing := sorted(dict(signed.items() ^ there.items())):
        raise IntegrityError(
            "the signature is not about these files",
            expected=f"{len(there)} files with the bytes that were recorded",
            found=f"differing: {', '.join(differing)}",
            remedy="find out what changed the files; run again to sign them anew",
        )


def _copy_evidence(release: Release, folder: Path) -> None:
    (folder / EVIDENCE).mkdir(parents=True, exist_ok=True)
    for file in release.evidence:
        target = folder / EVIDENCE / file.path
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(release.validate.path / file.path, target)


def digests(release: Release, folder: Path) -> dict[str, str]:
    """Of the model's files as they are recorded, and of what lies in the folder."""
    recorded = {file.path: file.sha256 for file in release.convert.files}
    return recorded | {path: sha256_file(folder / path) for path in relative_files(folder)}


def _sums(digests: dict[str, str]) -> str:
    """Lines as `sha256sum --check` reads them, of every file but this list and the signature."""
    return "".join(f"{sha256}  {path}\n" for path, sha256 in sorted(digests.items()))
