"""A downloaded release, as programs that know nothing of this house verify it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from google.protobuf import json_format
from in_toto_attestation.predicates.provenance.v1 import provenance_pb2
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.signer import SSlibKey  # type: ignore[attr-defined]

from tasks.core.digest import sha256_file
from tasks.core.published import BOM, PROVENANCE, SIGNATURE
from tests.verify.conftest import House, Published

DOWNLOAD = """
import sys
from huggingface_hub import snapshot_download
snapshot_download(sys.argv[1], revision=sys.argv[2], local_dir=sys.argv[3])
"""


def program(*arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """A Python program, run far from this house's code."""
    command = [sys.executable, "-I", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | env
    )


def test_other_tools_verify_a_download(house: House, published: Published, tmp_path: Path) -> None:
    """model-signing, DSSE, in-toto with SLSA's provenance, and CycloneDX take it as it comes."""
    folder, tag = tmp_path / "download", published.upload.tag
    got = program("-c", DOWNLOAD, published.repo, tag, str(folder), **house.env)
    assert got.returncode == 0, got.stderr

    verify = ["-m", "model_signing", "verify", "key", str(folder)]
    verify += ["--signature", str(folder / SIGNATURE), "--public_key", str(house.keys.public)]
    verify += ["--ignore-paths", str(folder / ".cache")]  # the Hub's client writes it
    verified = program(*verify)
    assert verified.returncode == 0, verified.stderr

    public = load_pem_public_key(house.keys.public.read_bytes())
    told = json.loads((folder / PROVENANCE).read_bytes())
    keyid = told["signatures"][0]["keyid"]
    envelope = Envelope.from_dict(told)
    assert list(envelope.verify([SSlibKey.from_crypto(public, keyid)], 1)) == [keyid]

    made = json.loads(envelope.payload)
    statement = json_format.ParseDict(made, statement_pb2.Statement())
    Statement.copy_from_pb(statement).validate()
    provenance = json_format.ParseDict(made["predicate"], provenance_pb2.Provenance())
    assert provenance.run_details.metadata.invocation_id == tag
    for subject in statement.subject:
        assert sha256_file(folder / subject.name) == subject.digest["sha256"]

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str((folder / BOM).read_text()) is None
