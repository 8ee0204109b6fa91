"""The last look before files leave the machine."""

from pathlib import Path

import pytest

from tasks.core.errors import CheckFailed
from tasks.core.leaks import CHUNK, refuse_secrets
from tasks.core.settings import Settings
from tasks.sign.keys import make_key

SECRET = "hf_a-canary-of-some-length"
SETTINGS = Settings.model_validate({"hub_token": SECRET, "s3_secret_key": "short"})


@pytest.mark.parametrize(
    "before", [0, 5, CHUNK - 1, CHUNK - len(SECRET) // 2, CHUNK, 2 * CHUNK - 3]
)
def test_a_secret_is_found_wherever_it_lies(tmp_path: Path, before: int) -> None:
    """Also where it lies across two pieces of the file; the message does not hold it."""
    path = tmp_path / "worker.log"
    path.write_bytes(b"." * before + SECRET.encode() + b"." * 9)
    with pytest.raises(CheckFailed, match="hub_token") as refused:
        refuse_secrets([path], SETTINGS)
    assert SECRET not in str(refused.value)


def test_the_signing_key_is_found_by_any_of_its_lines(tmp_path: Path) -> None:
    """Part of the key's file in a log is refused; the line that all such files share is not."""
    private, public = make_key()
    (tmp_path / "key.pem").write_bytes(private)
    settings = Settings.model_validate({"signing_key": tmp_path / "key.pem"})
    (tmp_path / "log").write_bytes(b"-----BEGIN PRIVATE KEY-----\n" + public)
    refuse_secrets([tmp_path / "log"], settings)
    for line in private.splitlines()[1:-1]:
        (tmp_path / "log").write_bytes(b"key: " + line)
        with pytest.raises(CheckFailed, match="signing_key"):
            refuse_secrets([tmp_path / "log"], settings)


def test_what_is_no_secret_passes(tmp_path: Path) -> None:
    """A part of a secret, a word as short as one, and an empty file."""
    texts = {"part.log": SECRET[:-1], "short.log": "short", "empty.log": ""}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    refuse_secrets(tmp_path.iterdir(), SETTINGS)
