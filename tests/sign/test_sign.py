"""Signatures, against other programs that know the formats."""

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr

from tasks.core.digest import sha256_file
from tasks.core.errors import InputError, IntegrityError
from tasks.core.manifest import relative_files
from tasks.core.published import SIGNATURE
from tasks.core.settings import Settings
from tasks.sign.envelope import STATEMENT, pae
from tasks.sign.keys import make_key, read_private_key, read_public_key
from tasks.sign.signer import Signer, Verifier
from tests.conftest import Keys, openssl

FILES = {"model.safetensors": b"weights" * 99, "README.md": b"# card", "a/b c.json": b"{}"}
SAID = {"_type": STATEMENT, "subject": [], "predicateType": "urn:x", "predicate": {"á": 1.5}}
NO_PASSWORD = SecretStr("")
ANY_KEY = Verifier(ec.generate_private_key(ec.SECP256R1()).public_key())
KEYS = st.sampled_from(
    ["mediaType", "verificationMaterial", "dsseEnvelope", "payload", "payloadType", "signatures"]
) | st.text(max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@pytest.fixture
def release(tmp_path: Path) -> Path:
    folder = tmp_path / "small-NVFP4"
    for name, data in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    (folder / ".gitattributes").write_text("*.safetensors filter=lfs")
    return folder


@pytest.fixture
def line(keys: Keys) -> bytes:
    return keys.signer.line(SAID)


def sign(release: Path, signer: Signer) -> None:
    """Sign every file of a folder but git's own."""
    paths = [path for path in relative_files(release) if path not in {SIGNATURE, ".gitattributes"}]
    signer.sign(release.name, {path: sha256_file(release / path) for path in paths}, release)


def model_signing(release: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """model-signing's own command, as a user runs it."""
    command = [sys.executable, "-m", "model_signing", "verify", "key", str(release)]
    command += ["--signature", str(release / SIGNATURE), "--public_key", str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_model_signing_verifies_our_signature(release: Path, keys: Keys, tmp_path: Path) -> None:
    """Its command accepts the folder, and refuses another key, a changed and a further file."""
    sign(release, keys.signer)
    assert model_signing(release, keys.public).returncode == 0
    assert model_signing(release, Keys.make(tmp_path / "other").public).returncode == 1
    (release / "extra.py").write_text("")
    assert "extra.py" in model_signing(release, keys.public).stderr
    (release / "extra.py").unlink()
    (release / "README.md").write_bytes(b"# Card")
    told = model_signing(release, keys.public)
    assert told.returncode == 1
    assert "README.md" in told.stderr


def test_we_read_what_model_signing_signed(release: Path, keys: Keys) -> None:
    """Every file with its sha256, and nothing of git's or of the signature itself."""
    command = [sys.executable, "-m", "model_signing", "sign", "key", str(release)]
    command += ["--signature", str(release / SIGNATURE), "--private_key", str(keys.private)]
    subprocess.run(command, capture_output=True, check=True)
    found = keys.signer.verifier.files((release / SIGNATURE).read_bytes())
    named = set(relative_files(release)) - {SIGNATURE, ".gitattributes"}
    assert found == {path: sha256_file(release / path) for path in named}


def test_no_byte_of_a_signature_can_change(release: Path, keys: Keys) -> None:
    """Each byte with each of three changes: the signature is refused."""
    sign(release, keys.signer)
    data, verifier = (release / SIGNATURE).read_bytes(), keys.signer.verifier
    verifier.files(data)
    for at in range(len(data)):
        for mask in (0x01, 0x20, 0x80):
            changed = data[:at] + bytes([data[at] ^ mask]) + data[at + 1 :]
            with pytest.raises(IntegrityError):
                verifier.files(changed)


def test_no_byte_of_a_statement_can_change(line: bytes, keys: Keys) -> None:
    """The same of an envelope; cut short or gone on with, it is refused too."""
    verifier = keys.signer.verifier
    assert verifier.statement(line, "x") == SAID
    changes = [line[:-1], line + line, line + b" ", b" " + line, b""]
    for at in range(len(line)):
        flips = (line[at] ^ mask for mask in (0x01, 0x20, 0x80))
        changes += [line[:at] + bytes([flip]) + line[at + 1 :] for flip in flips]
    for changed in changes:
        with pytest.raises(IntegrityError):
            verifier.statement(changed, "x")


def test_openssl_verifies_the_envelope(line: bytes, keys: Keys, tmp_path: Path) -> None:
    """DSSE by the book: ECDSA over the pre-authentication encoding of what is inside."""
    envelope = json.loads(line)
    payload = base64.b64decode(envelope["payload"])
    kind = envelope["payloadType"]
    text = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    assert pae(payload) == text
    (tmp_path / "text").write_bytes(text)
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    signature, signed = tmp_path / "sig", tmp_path / "text"
    openssl("dgst", "-sha256", "-verify", keys.public, "-signature", signature, signed)
    assert json.loads(payload) == SAID


def test_another_key_is_told_by_its_name(release: Path, keys: Keys, tmp_path: Path) -> None:
    """The message names the key that was expected and the one that signed."""
    sign(release, keys.signer)
    other = Verifier(read_public_key(Keys.make(tmp_path / "other").public))
    with pytest.raises(IntegrityError) as refused:
        other.files((release / SIGNATURE).read_bytes())
    assert other.name in str(refused.value)
    assert keys.signer.verifier.name in str(refused.value)


@given(st.binary(max_size=300))
def test_no_bytes_break_the_readers(data: bytes) -> None:
    """Whatever is read as a signature or statement, the answer is an IntegrityError."""
    verifier = ANY_KEY
    with pytest.raises(IntegrityError):
        verifier.files(data)
    with pytest.raises(IntegrityError):
        verifier.statement(data + b"\n", "x")


@given(JSON)
def test_no_json_breaks_the_readers(value: object) -> None:
    """The same of JSON with the formats' own keys."""
    data = json.dumps(value, separators=(",", ":")).encode()
    with pytest.raises(IntegrityError):
        ANY_KEY.files(data)
    with pytest.raises(IntegrityError):
        ANY_KEY.statement(data + b"\n", "x")


def test_a_key_with_a_password_signs(release: Path, keys: Keys, tmp_path: Path) -> None:
    """The password comes from its setting; a wrong one is refused without saying it."""
    locked = tmp_path / "locked.pem"
    openssl("ec", "-in", keys.private, "-aes256", "-passout", "pass:canary-pw", "-out", locked)
    values = {"signing_key": locked, "signing_key_password": "canary-pw"}
    signer = Signer.from_settings(Settings.model_validate(values))
    sign(release, signer)
    assert model_signing(release, keys.public).returncode == 0
    for wrong in ("", "canary-wrong"):
        with pytest.raises(InputError, match="ROUNDHOUSE_SIGNING_KEY_PASSWORD") as refused:
            Signer(locked, SecretStr(wrong))
        assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "command",
    [
        ["ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out"],
        ["genpkey", "-algorithm", "ed25519", "-out"],
        ["genrsa", "-out"],
    ],
)
def test_other_kinds_of_keys_are_refused(tmp_path: Path, command: list[str]) -> None:
    """Neither half of another kind of key is taken; the message says how to make the right one."""
    private, public = tmp_path / "key.pem", tmp_path / "key.pub.pem"
    openssl(*command, private)
    openssl("pkey", "-in", private, "-pubout", "-out", public)
    with pytest.raises(InputError, match="P-256"):
        read_private_key(private, NO_PASSWORD)
    with pytest.raises(InputError, match="P-256"):
        read_public_key(public)


def test_what_is_no_key_is_refused(tmp_path: Path, keys: Keys) -> None:
    """No file, no PEM, the wrong half; and no key at all names the setting."""
    (tmp_path / "noise").write_bytes(b"canary" * 9)
    for path in (tmp_path / "nothing", tmp_path, tmp_path / "noise", keys.public):
        with pytest.raises(InputError) as refused:
            read_private_key(path, NO_PASSWORD)
        assert "canary" not in str(refused.value)
    for path in (tmp_path / "nothing", tmp_path / "noise", keys.private):
        with pytest.raises(InputError):
            read_public_key(path)
    with pytest.raises(InputError, match="ROUNDHOUSE_SIGNING_KEY"):
        Signer.from_settings(Settings.model_validate({"signing_key": None}))


def test_a_made_key_is_a_pair(tmp_path: Path) -> None:
    """What the embedded stack makes for itself signs, and its public half verifies."""
    private, public = make_key()
    (tmp_path / "k").write_bytes(private)
    (tmp_path / "p").write_bytes(public)
    line = Signer(tmp_path / "k", NO_PASSWORD).line(SAID)
    assert Verifier(read_public_key(tmp_path / "p")).statement(line, "x") == SAID
