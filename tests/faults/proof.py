"""What must hold after a point: one whole release, equal to the undisturbed one, and nothing else.

Compared byte for byte: every file of the model (weights, index, config, tokenizer, processor,
templates, licence, `roundhouse/autoround_config.json`). Not compared: card, change log, signature
and the documents below `roundhouse/`, which name their target, their duration and their time; of
them the names are compared, and that the signature covers them.
"""

from huggingface_hub import HfApi

from infra.local.environment import BUCKET
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.archived import MANIFEST, Manifest
from tasks.core.manifest import Frozen
from tasks.core.progress import Silent
from tasks.core.published import is_document, is_git_own
from tasks.sign.signer import Verifier
from tasks.verify.verify import Verify
from tests.e2e.house import wait_for
from tests.faults.case import Case
from tests.faults.stand import Stand

GONE_SECONDS = 30.0
STALE = ("*.partial", "*.partial.json", "*.part", "*.new", "*.fetched")
WEIGHTS = ".safetensors"


class Published(Frozen):
    """A release as the Hub has it.

    Attributes:
        release: its id, which is its tag.
        files: git id, or sha256 of large files, by path; git's own files are left out.
    """

    release: str
    files: dict[str, str]

    @property
    def model(self) -> dict[str, str]:
        """The files that must not differ."""
        return {path: digest for path, digest in self.files.items() if not is_document(path)}

    @property
    def weights(self) -> dict[str, str]:
        """Sha256 of each shard."""
        return {path: digest for path, digest in self.files.items() if path.endswith(WEIGHTS)}


def published(stand: Stand, target: str) -> Published:
    """The one release of a target.

    Raises:
        AssertionError: there is none, or more than one commit or tag of it.
    """
    hub = HfApi(stand.settings.hub_endpoint, token=stand.settings.hub_token.get_secret_value())
    (tag,) = hub.list_repo_refs(target).tags
    titles = [commit.title for commit in hub.list_repo_commits(target)]
    assert titles.count(f"Release {tag.name}") == 1, titles
    assert hub.list_repo_commits(target)[0].commit_id == tag.target_commit, "the tag is not head"
    info = hub.model_info(target, files_metadata=True)
    assert info.private, "the repository is public"
    files = {f.rfilename: f.lfs.sha256 if f.lfs else f.blob_id or "" for f in info.siblings or []}
    return Published(release=tag.name, files={p: d for p, d in files.items() if not is_git_own(p)})


def prove(case: Case, reference: Published, *, commits: int = 2) -> None:
    """Raise unless all holds.

    Args:
        case: whose command has ended well.
        reference: the undisturbed release.
        commits: of the target, the repository's first included.

    Raises:
        AssertionError: what does not hold.
    """
    made = published(case.stand, case.target)
    assert made.model == reference.model, _differing(made.model, reference.model)
    assert set(made.files) == set(reference.files), set(made.files) ^ set(reference.files)
    hub = HfApi(
        case.stand.settings.hub_endpoint, token=case.stand.settings.hub_token.get_secret_value()
    )
    assert len(hub.list_repo_commits(case.target)) == commits
    _archive(case, made)
    _signatures(case, made)
    left = case.stand.objects.list_multipart_uploads(Bucket=BUCKET).get("Uploads", [])
    assert not left, f"uploads in parts that were never ended: {[u['Key'] for u in left]}"
    wait_for("the end of its processes", lambda: not case.idle(), GONE_SECONDS)
    stale = [str(p.relative_to(case.home)) for mark in STALE for p in case.home.rglob(mark)]
    assert not stale, f"left in the workspace: {stale}"


def _differing(made: dict[str, str], wanted: dict[str, str]) -> str:
    names = sorted(p for p in made.keys() | wanted.keys() if made.get(p) != wanted.get(p))
    return f"other bytes than the undisturbed release: {names}"


def _archive(case: Case, made: Published) -> None:
    """Its objects are those that its manifest names, with the weights that are published."""
    store = Store.from_settings(case.stand.settings)
    below = f"{case.stand.settings.archive}/{case.target}"
    there = {path for path, _ in store.list(below)}
    assert {path.partition("/")[0] for path in there} == {made.release}, "more than one archive"
    uri = f"{below}/{made.release}"
    manifest = Manifest.parse(store.read(f"{uri}/{MANIFEST}"), uri)
    named = {f"{made.release}/{file.path}" for file in manifest.files}
    assert there == named | {f"{made.release}/{MANIFEST}"}, "the archive is not its manifest"
    kept = {f.path.removeprefix("checkpoint/"): f.sha256 for f in manifest.files}
    assert made.weights, "there are no weights"
    assert made.weights.items() <= kept.items(), "archived and published weights differ"


def _signatures(case: Case, made: Published) -> None:
    settings = case.stand.settings
    store = Store.from_settings(settings)
    verify = Verify(
        Verifier.from_settings(settings), Hub.from_settings(settings), store, Silent(), deep=True
    )
    for address in (
        f"hub:{case.target}@{made.release}",
        f"{settings.archive}/{case.target}/{made.release}",
    ):
        found = verify(address)
        assert found.good, f"{address}: {found.problems}"
        assert found.key, f"{address}: no signature was checked"
