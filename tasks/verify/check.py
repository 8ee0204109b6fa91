"""The checks themselves: a release against its signature, an archive against its manifest."""

from collections.abc import Iterator
from dataclasses import dataclass

from tasks.core.archived import MANIFEST, Manifest
from tasks.core.errors import IntegrityError
from tasks.core.progress import Reporter
from tasks.core.published import PROVENANCE, SIGNATURE, SUMS, is_git_own
from tasks.sign.manifests import check_manifest
from tasks.sign.signer import Verifier
from tasks.verify.found import Problem, Verification
from tasks.verify.places import Checkpoint, Folder, Objects, Place
from tasks.verify.sums import parse_sums

MISSING = "it is missing"
EXTRA = "it was not signed"


@dataclass(frozen=True)
class Expected:
    """Who the release is supposed to be; empty parts are not checked.

    Attributes:
        repo: repository it was signed for.
        release: its name.
    """

    repo: str = ""
    release: str = ""


def verify_release(
    place: Place, verifier: Verifier | None, reporter: Reporter, expected: Expected | None = None
) -> Verification:
    """Compare every file of a release with its signature.

    Args:
        place: where it lies.
        verifier: with the public key; None compares with the list of digests in the release, which
            finds damage and proves nothing of who made it.
        reporter: told of files compared.
        expected: whose release it must be.

    Raises:
        HubUnavailable, StoreUnavailable: a server did not answer.
    """
    paths = place.paths()
    problems, listed = _listed(place, paths, verifier)
    present = {path for path in paths if not is_git_own(path)}
    problems += list(_compared(place, present, listed, reporter))
    extra = sorted(present - set(listed) - {SIGNATURE, SUMS})  # a signature that is good has SUMS
    problems += [Problem(path=path, what=EXTRA) for path in extra]
    wrong = {problem.path for problem in problems}
    release = ""
    if verifier and PROVENANCE in present and not wrong & {PROVENANCE, SIGNATURE}:
        told, release = _provenance(place, verifier, listed, expected or Expected())
        problems += told
    return Verification(
        where=place.name,
        release=release,
        key=verifier.name if verifier else "",
        files=len(listed),
        problems=tuple(problems),
    )


def verify_archive(
    place: Folder | Objects,
    manifest: Manifest,
    data: bytes,
    verifier: Verifier | None,
    reporter: Reporter,
) -> Verification:
    """Compare every file of an archive with its manifest, and the release in it with its signature.

    Args:
        place: where it lies.
        manifest: of the archive.
        data: the bytes it was read from.
        verifier: with the public key; as for `verify_release`.
        reporter: told of files compared.

    Raises:
        StoreUnavailable: S3 did not answer.
    """
    problems = []
    if verifier:
        try:
            check_manifest(manifest, data, verifier, MANIFEST)
        except IntegrityError as error:
            problems.append(Problem(path=MANIFEST, what=error.what))
    paths, listed = place.paths(), {file.path: file.sha256 for file in manifest.files}
    problems += list(_compared(place, paths, listed, reporter))
    extra = sorted(paths - set(listed) - {MANIFEST})
    problems += [Problem(path=path, what="the manifest does not name it") for path in extra]
    wrong = {problem.path for problem in problems}
    origin = manifest.origin
    within = Checkpoint(place, manifest, wrong)
    inner = verify_release(within, verifier, reporter, Expected(origin.repo, origin.release_id))
    problems += [p for p in map(within.outward, inner.problems) if p.path not in wrong]
    return Verification(
        where=place.name,
        release=inner.release or origin.release_id,
        key=inner.key,
        files=len(listed) + 1,
        problems=tuple(problems),
    )


def _listed(
    place: Place, paths: set[str], verifier: Verifier | None
) -> tuple[list[Problem], dict[str, str]]:
    """What should be there: by the signature, or where that is no good by the list of digests."""
    problems = []
    if verifier:
        try:
            return [], verifier.files(_read(place, SIGNATURE, paths))
        except IntegrityError as error:
            problems.append(Problem(path=SIGNATURE, what=error.what))
    try:
        return problems, parse_sums(_read(place, SUMS, paths))
    except IntegrityError as error:
        return [*problems, Problem(path=SUMS, what=error.what)], {}


def _read(place: Place, path: str, paths: set[str]) -> bytes:
    if path not in paths:
        raise IntegrityError(MISSING)
    return place.read(path)


def _compared(
    place: Place, present: set[str], listed: dict[str, str], reporter: Reporter
) -> Iterator[Problem]:
    for done, (path, sha256) in enumerate(sorted(listed.items())):
        reporter.update(done / len(listed), f"verifying {path}")
        what = place.differs(path, sha256) if path in present else MISSING
        if what:
            yield Problem(path=path, what=what)


def _provenance(
    place: Place, verifier: Verifier, listed: dict[str, str], expected: Expected
) -> tuple[list[Problem], str]:
    """What is wrong with the provenance, and the release it names."""
    try:
        statement = verifier.statement(place.read(PROVENANCE), PROVENANCE)
        made = statement["predicate"]
        release = str(made["runDetails"]["metadata"]["invocationId"])
        repo = str(made["buildDefinition"]["externalParameters"]["target"])
        subjects = {s["name"]: s["digest"]["sha256"] for s in statement["subject"]}
    except (IntegrityError, KeyError, TypeError) as error:
        return [Problem(path=PROVENANCE, what=str(error))], ""
    wrong = []
    if any(listed.get(path) != sha256 for path, sha256 in subjects.items()):
        wrong.append("it tells of other files than the signature")
    if expected.repo and repo != expected.repo:
        wrong.append(f"it was signed for {repo}, not for {expected.repo}")
    if expected.release and release != expected.release:
        wrong.append(f"it is the release {release}, not {expected.release}")
    return [Problem(path=PROVENANCE, what=what) for what in wrong], release
