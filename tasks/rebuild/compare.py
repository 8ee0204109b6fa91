"""What was rebuilt against what was published: files by their digests, machines by their names."""

from collections.abc import Iterator, Mapping

from tasks.core.errors import CheckFailed, IntegrityError
from tasks.core.manifest import Frozen
from tasks.core.published import is_document, is_git_own
from tasks.rebuild.claim import Claim

NONE = "none"
"""Stands for the digest of a file that is not there."""


class Compared(Frozen):
    """One file of the model: its sha256 in the release and in the rebuild."""

    path: str
    expected: str
    found: str

    @property
    def same(self) -> bool:
        """Whether both have it, byte for byte."""
        return self.expected == self.found


def compare_files(published: Mapping[str, str], rebuilt: Mapping[str, str]) -> tuple[Compared, ...]:
    """Every file of the model, in the release or in the rebuild; documents are left out.

    Weights, their index, config, tokenizer: whatever a model server reads. Documents tell of
    durations and dates, and so differ.

    Args:
        published: sha256 by path, of the release.
        rebuilt: sha256 by path, of the rebuild.
    """
    paths = sorted(p for p in {*published, *rebuilt} if not (is_document(p) or is_git_own(p)))
    return tuple(
        Compared(path=p, expected=published.get(p, NONE), found=rebuilt.get(p, NONE)) for p in paths
    )


def refuse_difference(files: tuple[Compared, ...], doubts: tuple[str, ...]) -> None:
    """Say no where a rebuild is not the release.

    Args:
        files: as `compare_files` gives them.
        doubts: what is other about this machine, which may be why.

    Raises:
        CheckFailed: names the first file that differs.
    """
    differing = [file for file in files if not file.same]
    if files and not differing:
        return
    first = differing[0] if differing else Compared(path="the model", expected="files", found=NONE)
    raise CheckFailed(
        f"the rebuild is not what was published: {first.path} differs, the first of "
        f"{len(differing)} of {len(files)} files",
        expected=first.expected,
        found=first.found,
        remedy=f"rebuild where this does not hold: {'; '.join(doubts)}"
        if doubts
        else "rebuild on a machine of the same model; ask who published the release which",
    )


def doubts(claim: Claim, device: str, versions: Mapping[str, str]) -> Iterator[str]:
    """What is other here than where the release was made; equal bytes are promised without it.

    Args:
        claim: of the release.
        device: this machine's.
        versions: of the packages that are installed here, by name.
    """
    if device != claim.device:
        yield f"the release was quantized on {claim.device}, this machine has {device}"
    for package, version in sorted(claim.versions.items()):
        here = versions.get(package, NONE)
        if here != version:
            yield f"the release was made with {package} {version}, here is {here}"


def refuse_other_base(claim: Claim, downloaded: Mapping[str, str]) -> None:
    """Compare the base's weights with those that the provenance names.

    Raises:
        IntegrityError: names the first file that differs.
    """
    for path, sha256 in sorted(claim.shards.items()):
        if (found := downloaded.get(path, NONE)) != sha256:
            raise IntegrityError(
                f"{path} of {claim.base} is not what the release was made of",
                expected=f"sha256 {sha256}",
                found=found,
                remedy="find the base as it was; its repository was changed",
            )


def refuse_other_calibration(claim: Claim, digest: str) -> None:
    """Compare the calibration set with the one that the provenance names.

    Raises:
        CheckFailed: it is another.
    """
    if digest != claim.calibration:
        raise CheckFailed(
            "the calibration set is not the one that the release was made with",
            expected=claim.calibration,
            found=digest,
            remedy="install the packages that the provenance names; nothing was quantized",
        )
