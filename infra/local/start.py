"""Starts the stack's pieces, each as soon as what it needs is there, side by side."""

import sys
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Self

from infra.local.credentials import Credentials
from infra.local.ending import MARK
from infra.local.environment import base_environment, client_environment
from infra.local.hub_server import hub_server
from infra.local.keeper import keeper
from infra.local.layout import ROOT, Layout
from infra.local.object_store import object_store
from infra.local.piece import Piece
from infra.local.ports import Ports
from infra.local.prefect_server import prefect_server
from infra.local.workers import visible_gpus, workers
from tasks.core.process import Child
from tasks.core.progress import Reporter

SEED_SECONDS = 300.0


@dataclass(frozen=True)
class Step:
    """Something to do once others are done; gives one line about what it did."""

    do: Callable[[], str]
    after: tuple[str, ...] = ()


@dataclass(frozen=True)
class Parts:
    """The pieces of one stack and what clients need to use them."""

    layout: Layout
    project: Path
    servers: tuple[Piece, ...]
    workers: tuple[Piece, ...]
    keeper: Piece
    env: dict[str, str]

    @classmethod
    def of(
        cls, layout: Layout, ports: Ports, credentials: Credentials, project: Path = ROOT
    ) -> Self:
        """The parts of the stack on these ports, for the deployments of a project's folder."""
        servers = (
            prefect_server(layout, ports, credentials),
            hub_server(layout, ports, credentials),
            object_store(layout, ports, credentials),
        )
        env = client_environment(layout, ports, credentials)
        return cls(
            layout,
            project,
            servers,
            tuple(workers(layout, ports, credentials)),
            keeper(layout),
            env,
        )

    @property
    def all(self) -> tuple[Piece, ...]:
        """Every piece, servers first."""
        return (*self.servers, *self.workers, self.keeper)

    def start(self, reporter: Reporter) -> None:
        """Start what does not run or does not work, seed the Hub, deploy.

        Raises:
            ServingError: a piece died at start.
            TransientError: a piece runs and does not get well in time.
            PermanentError: seeding or deploying failed.
        """
        steps = {
            **{piece.name: Step(self._up(piece)) for piece in self.servers},
            "demo data": Step(self._seed, ("hub",)),
            "work pools": Step(self._prepare, ("prefect",)),
            "deployments": Step(self._deploy, ("work pools",)),
            **{piece.name: Step(self._up(piece), ("work pools",)) for piece in self.workers},
            self.keeper.name: Step(
                self._up(self.keeper), tuple(p.name for p in self.servers + self.workers)
            ),
        }
        run_steps(steps, reporter)

    def _up(self, piece: Piece) -> Callable[[], str]:
        def do() -> str:
            return f"{'started' if piece.up(self.layout) else 'runs'} {piece.url}".rstrip()

        return do

    def _seed(self) -> str:
        command = [sys.executable, "-m", "infra.local.seed", str(self.layout.data("seed"))]
        everything = base_environment() | self.env | {MARK: str(self.layout.home)}
        with Child(command, self.layout.log("seed"), everything, ROOT) as child:
            child.follow(deadline=SEED_SECONDS)
        return "on the Hub"

    def _prepare(self) -> str:
        from infra.local import pools
        from infra.local.prefect_client import client_of

        with client_of(self.env) as client:
            pools.prepare(client, max(1, len(visible_gpus())), self.project)
        return "ready"

    def _deploy(self) -> str:
        from infra.local import deploy

        return deploy.deploy(self.layout, self.env, self.project)


def run_steps(steps: dict[str, Step], reporter: Reporter) -> None:
    """Do all steps, as many at once as their order allows.

    After a failure all that does not need the failed step is still done; then it is raised.
    """
    order = TopologicalSorter({name: step.after for name, step in steps.items()})
    order.prepare()
    running: dict[Future[str], str] = {}
    failures: list[BaseException] = []
    finished = 0
    with ThreadPoolExecutor(len(steps)) as threads:
        ready = order.get_ready()
        while ready or running:
            running |= {threads.submit(steps[name].do): name for name in ready}
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                name = running.pop(future)
                if failure := future.exception():
                    failures.append(failure)
                    continue
                finished += 1
                reporter.update(finished / len(steps), f"{name}: {future.result()}")
                order.done(name)
            ready = order.get_ready()
    if failures:
        raise failures[0]
