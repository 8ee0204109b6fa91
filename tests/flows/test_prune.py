"""`roundhouse prune`: what it tells, and what it leaves."""

import json
import os
import time
from pathlib import Path
from uuid import uuid4

from tests.clients.machines import Machine, variables
from tests.command import roundhouse_here
from tests.conftest import S3Server


def test_it_tells_and_removes_what_is_old(s3_server: S3Server, tmp_path: Path) -> None:
    """A dry run removes nothing; then old workspaces of the home go, and young ones in S3 stay."""
    uri = f"s3://artifacts/shared/{uuid4().hex}"
    one = Machine(tmp_path, s3_server.settings(), uri)
    made = one.run({"f": b"12345"}, "old")
    for path in made.path.parent.rglob("*"):
        os.utime(path, (time.time() - 86400 * 9,) * 2)
    env = variables(s3_server, ROUNDHOUSE_HOME=str(tmp_path), ROUNDHOUSE_WORKSPACE=uri)
    told = json.loads(roundhouse_here("prune", "--days", "8", "--dry-run", "--json", **env).out)
    assert [Path(each["where"]).name for each in told] == ["old"]
    assert round(told[0]["days"]) == 9
    assert made.path.exists()
    assert "removed 1, " in roundhouse_here("prune", "--days", "8", **env).out
    assert not made.path.exists()
    assert "nothing is that old" in roundhouse_here("prune", "--days", "8", **env).out
    assert one.here(one.run({}, "old"), "old") == {"f": b"12345"}
    assert one.calls == 1
