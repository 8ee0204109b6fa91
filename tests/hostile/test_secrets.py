"""No secret gets out: not in files, objects, commits, logs, messages, or what is printed."""

import logging
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.archive import archive
from tasks.clients.hub import Hub
from tasks.clients.s3 import Store
from tasks.core.errors import RoundhouseError, StoreError, TargetError
from tasks.core.records import Release
from tasks.core.settings import Settings
from tasks.upload import upload
from tests.conftest import HubServer, Keys, S3Server, free_port, openssl
from tests.finished_stages import finish_stages, randomly

PASSWORD = "signing-password-canary"


class Told:
    """A reporter that keeps every line."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, message: str) -> None:
        """Keep it."""
        self.lines.append(message)

    def update(self, fraction: float, message: str) -> None:
        """Keep it."""
        self.lines.append(f"{fraction} {message}")


@pytest.fixture
def release(tmp_path: Path) -> Release:
    return finish_stages(tmp_path / "home", randomly("acme/secrets"))


@pytest.fixture
def settings(hub_server: HubServer, s3_server: S3Server, keys: Keys, tmp_path: Path) -> Settings:
    """Each secret setting with a value that can be looked for."""
    locked = tmp_path / "key" / "locked.pem"
    locked.parent.mkdir()
    openssl("ec", "-in", keys.private, "-aes256", "-passout", f"pass:{PASSWORD}", "-out", locked)
    hub: dict[str, Any] = {"hub_endpoint": hub_server.url, "hub_token": hub_server.token()}
    key: dict[str, Any] = {"signing_key": locked, "signing_key_password": PASSWORD}
    made = s3_server.settings(home=tmp_path / "home", **hub, **key)
    unset = [n for n, v in made if isinstance(v, SecretStr) and not v.get_secret_value()]
    return made.model_copy(update={name: SecretStr(f"canary-of-{name}") for name in unset})


def secrets(settings: Settings, keys: Keys) -> dict[str, bytes]:
    """Everything that must be nowhere: all secret settings, and each line of the private key."""
    values = {
        name: value.get_secret_value().encode()
        for name, value in settings
        if isinstance(value, SecretStr)
    }
    assert settings.signing_key is not None
    for number, path in enumerate((keys.private, settings.signing_key)):
        lines = [line for line in path.read_bytes().splitlines() if not line.startswith(b"-----")]
        values |= {f"key {number}.{n}": line for n, line in enumerate(lines) if len(line) > 32}
    assert len(values) > 6
    assert all(values.values()), "every secret has a value"
    return values


def run(release: Release, settings: Settings, told: Told) -> None:
    hub, store, home = Hub.from_settings(settings), Store.from_settings(settings), settings.home
    up = upload.run(release, hub=hub, settings=settings, home=home, reporter=told)
    archive.run(release, up, store=store, home=home, settings=settings, reporter=told)


def test_a_release_leaves_no_secret_anywhere(
    release: Release,
    settings: Settings,
    keys: Keys,
    hub_server: HubServer,
    s3_server: S3Server,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Upload and archive with every library's debug log on: all that they left is read."""
    told = Told()
    with caplog.at_level(logging.DEBUG):
        run(release, settings, told)
    printed = capfd.readouterr()
    outputs = {
        "log": caplog.text.encode(),
        "printed": (printed.out + printed.err).encode(),
        "progress": "\n".join(told.lines).encode(),
        "settings": repr(settings).encode() + settings.model_dump_json().encode(),
    }
    outputs |= {str(p): p.read_bytes() for p in settings.home.rglob("*") if p.is_file()}
    repo, hub, store = release.plan.target, hub_server.hub(), s3_server.store()
    for file in hub.files(repo, hub.resolve(repo)):
        outputs[f"hub:{file.path}"] = hub.read_small(repo, "main", file.path)
    uri = f"{settings.archive}/{repo}"
    outputs |= {f"{uri}/{path}": store.read(f"{uri}/{path}") for path, _ in store.list(uri)}
    assert len(outputs) > 60
    assert len(caplog.text) > 10_000, "the libraries were asked to say everything"
    found = {
        name: [where for where, data in outputs.items() if value in data]
        for name, value in secrets(settings, keys).items()
    }
    # botocore's own debug log shows the key's name (not its secret) in the header it sends
    assert {name: where for name, where in found.items() if where} == {"s3_access_key": ["log"]}


def test_failures_tell_no_secret(
    release: Release, settings: Settings, keys: Keys, tmp_path: Path
) -> None:
    """Wrong and refused credentials, servers that are away, a wrong password: what is raised."""
    away = f"http://127.0.0.1:{free_port()}"
    changes: list[dict[str, object]] = [
        {"hub_token": "hf_wrong_canary"},
        {"hub_endpoint": away},
        {"s3_secret_key": "wrong-secret-canary"},
        {"s3_access_key": "WRONGKEYCANARY"},
        {"s3_endpoint": away},
        {"archive": "s3://no-such-bucket/releases"},
        {"signing_key_password": "wrong-password-canary"},
    ]
    for change in changes:
        broken = Settings.model_validate({**dict(settings), **change})
        with pytest.raises(RoundhouseError) as raised:
            run(release, broken, Told())
        chain: list[BaseException | None] = [raised.value]
        said = f"{raised.value} {raised.value!r}"
        while chain[-1] is not None:
            chain.append(chain[-1].__cause__)
            said += f" {chain[-1]} {chain[-1]!r}"
        for name, value in secrets(broken, keys).items():
            if name != "s3_access_key":  # a name, which S3 repeats in its answers
                assert value.decode() not in said, (change, name)


def test_a_token_that_only_reads_fails_before_anything_is_hashed(
    release: Release, settings: Settings, hub_server: HubServer
) -> None:
    """The Hub is asked first: no signature was made, no file was sent, no repository exists."""
    reader = settings.model_copy(update={"hub_token": SecretStr(hub_server.token("reader"))})
    with pytest.raises(TargetError, match="role read"):
        run(release, reader, Told())
    assert not list(settings.home.rglob("model.sig"))
    assert hub_server.hub().head(release.plan.target) is None


def test_a_key_that_only_reads_fails_before_anything_is_sent(
    release: Release, settings: Settings, s3_server: S3Server, caplog: pytest.LogCaptureFixture
) -> None:
    """S3 is asked for the right to write first; reading and listing are still allowed."""
    keys = {name: SecretStr(value) for name, value in s3_server.reader().items()}
    reader = settings.model_copy(update=keys)
    store = Store.from_settings(reader)
    with pytest.raises(StoreError, match="do not allow it") as refused:
        store.check_writable(settings.archive)
    assert "grant" in str(refused.value)
    with pytest.raises(StoreError, match="do not allow it"):
        run(release, reader, Told())
    assert not list(store.list(f"{settings.archive}/{release.plan.target}"))


def test_reading_rights_are_enough_to_verify(
    release: Release, settings: Settings, s3_server: S3Server, keys: Keys, tmp_path: Path
) -> None:
    """Whoever checks or restores a release needs no right to write, nor the private key."""
    from tasks.archive.restore import restore
    from tasks.verify.verify import Verify

    run(release, settings, Told())
    reader = s3_server.settings(**s3_server.reader())
    uri = f"{settings.archive}/{release.plan.target}/{release.plan.release_id}"
    store = Store.from_settings(reader)
    check = Verify(keys.signer.verifier, Hub.from_settings(reader), store, Told())
    assert check(uri).good
    restore(uri, tmp_path / "back", store, Told())
    assert check(str(tmp_path / "back")).good
