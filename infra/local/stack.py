"""The embedded stack: Prefect server, S3, Hub stand-in, workers. `up`, `down`, `status`.

`up` twice is one stack: pieces that run and work are kept, others are started anew. `down` leaves
no process behind, also where an `up` was killed halfway.
"""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from infra.local import ports as port_choice
from infra.local.credentials import load_or_make
from infra.local.daemon import GRACE_SECONDS, Daemon
from infra.local.ending import belongs, sweep
from infra.local.environment import client_environment, hub_url, prefect_url, s3_url
from infra.local.keeper import KEEPER
from infra.local.layout import ROOT, Layout
from infra.local.piece import PieceStatus
from infra.local.start import Parts
from infra.local.workers import WORKER
from tasks.core.errors import InputError
from tasks.core.manifest import Frozen
from tasks.core.progress import Reporter, Silent


class Stack(Frozen):
    """A running stack.

    Attributes:
        home: absolute path of the Roundhouse home.
        prefect: address of Prefect's UI.
        hub: address of the Hub stand-in.
        s3: address of the object store.
    """

    home: Path
    prefect: str
    hub: str
    s3: str

    def env(self) -> dict[str, str]:
        """The variables that clients and workers need, secrets included; never log them."""
        return environment(self.home)


class StackStatus(Frozen):
    """What a home's stack is doing.

    Attributes:
        home: absolute path of the Roundhouse home.
        well: whether every piece does its work.
        pieces: each piece, in the order of starting.
    """

    home: Path
    well: bool
    pieces: tuple[PieceStatus, ...]


def up(
    home: Path,
    reporter: Reporter | None = None,
    *,
    fixed: Mapping[str, int] | None = None,
    project: Path = ROOT,
) -> Stack:
    """Start the stack, or repair it.

    Args:
        home: the Roundhouse home; the stack's things go to `<home>/stack`.
        reporter: told about every step.
        fixed: ports by server (`prefect`, `hub`, `s3`), over `ROUNDHOUSE_PORT_<NAME>`.
        project: folder whose `prefect.yaml` is deployed and in which its flows run.

    Raises:
        InputError: a fixed port is taken.
        ServingError: a piece is not installed or died at start.
        TransientError: a piece runs and does not get well in time.
        PermanentError: the demo's model could not be made, or Prefect refused a deployment.
    """
    layout, reporter = Layout.of(home), reporter or Silent()
    with layout.locked(reporter):
        ports = port_choice.choose(
            layout.ports,
            port_choice.fixed_ports(os.environ) | dict(fixed or {}),
            lambda pid: belongs(pid, layout.home),
        )
        Parts.of(layout, ports, load_or_make(layout), project).start(reporter)
    return Stack(home=layout.home, prefect=prefect_url(ports), hub=hub_url(ports), s3=s3_url(ports))


def down(home: Path, reporter: Reporter | None = None) -> None:
    """Stop the stack: the keeper, then workers, so that they can tell how their runs end."""
    layout, reporter = Layout.of(home), reporter or Silent()
    if not layout.root.is_dir():
        reporter.note(f"there is no stack in {layout.home}")
        return
    with layout.locked(reporter):
        # The pidfiles count, not what this version of the program would start.
        names = sorted((path.stem for path in layout.pid("*").parent.glob("*.json")), key=_order)
        for name in names:
            reporter.note(f"stopping {name}")
            # The object store is safe against being killed, and slow to end by itself.
            Daemon(layout, name).stop(grace=0.0 if name == "s3" else GRACE_SECONDS)
        sweep(layout.home)


def _order(name: str) -> tuple[bool, bool, str]:
    return name != KEEPER, not name.startswith(WORKER), name


def status(home: Path) -> StackStatus:
    """Examine every piece by making it do some work; starts nothing."""
    layout = Layout.of(home)
    ports = port_choice.kept(layout.ports)
    if not ports:
        return StackStatus(home=layout.home, well=False, pieces=())
    pieces = Parts.of(layout, ports, load_or_make(layout)).all
    with ThreadPoolExecutor(len(pieces)) as pool:
        found = tuple(pool.map(lambda piece: piece.status(layout), pieces))
    return StackStatus(home=layout.home, well=all(p.state == "well" for p in found), pieces=found)


def environment(home: Path) -> dict[str, str]:
    """The variables that clients of a home's stack need, secrets included; never log them.

    Raises:
        InputError: there is no stack.
    """
    layout = Layout.of(home)
    ports = port_choice.kept(layout.ports)
    if not ports:
        raise InputError(
            f"there is no stack in {layout.home}",
            expected="one that was started",
            remedy="run: roundhouse up",
        )
    return client_environment(layout, ports, load_or_make(layout))
