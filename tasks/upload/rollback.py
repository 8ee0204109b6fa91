"""Roll a repository back, or forward, to a release that it holds under a tag."""

from tasks.clients.hub import Hub
from tasks.core.errors import InputError
from tasks.core.progress import Reporter
from tasks.core.published import BOM
from tasks.upload.confined import is_confined

SHOWN = 8


def roll_back(repo: str, tag: str, *, hub: Hub, reporter: Reporter) -> str:
    """Make the head of a repository equal to a tagged release; gives the head's commit.

    It is one new commit on top of the head: nothing of the history is lost, and rolling forward is
    the same with the newer tag. No weights travel; the Hub has them.

    Args:
        repo: repository.
        tag: the release.
        hub: where it is.
        reporter: told what was done.

    Raises:
        InputError: the repository has no such tag.
        TargetError, HubUnavailable: the Hub refused or did not answer, or the repository is public
            and the release's quality was not measured.
        TransientError: somebody committed meanwhile.
    """
    tags = hub.tags(repo)
    commit, head = tags.get(tag), hub.head(repo)
    if commit is None or head is None:
        raise InputError(
            f"{repo} has no release {tag}",
            expected=f"one of {', '.join(sorted(tags)[:SHOWN])}" if tags else "a release",
            found=tag,
        )
    hub.can_write(repo)
    if _confined(repo, commit, hub):
        hub.refuse_public(repo)
    made = hub.reinstate(repo, commit, parent=head, message=f"Roll back to {tag}")
    if made == head:
        reporter.note(f"{repo} holds the release {tag} at its head already")
    else:
        reporter.note(f"{repo} holds the release {tag} again, in commit {made}")
    return made


def _confined(repo: str, commit: str, hub: Hub) -> bool:
    """Whether a release must stay private; what we did not make has no bill of materials."""
    listed = any(file.path == BOM for file in hub.files(repo, commit))
    return listed and is_confined(hub.read_small(repo, commit, BOM))
