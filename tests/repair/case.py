"""A release of the trained base, one layer's activations cut off, and the stages that made it."""

import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from infra.local.base_model.build import build_trained
from tasks.clients.hub import Hub
from tasks.clients.sources import resolve_source
from tasks.convert.convert import build as convert_build
from tasks.core.progress import Silent
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, DownloadRecord, PlanRecord
from tasks.core.settings import Settings
from tasks.core.workspace import Workspace
from tasks.repair.repair import HELDOUT, run
from tests.fake_release import RECIPE, make_output
from tests.finished_stages import FACTS
from tests.validate.conftest import HELDOUT as ROWS

__all__ = ["BUDGET", "PLANTED", "ROWS", "Case", "Said"]
PLANTED = "model.language_model.layers.3.mlp.down_proj"
BUDGET = 0.06
SILENT = Silent()


class Said(Silent):
    """A reporter that prints its notes."""

    def note(self, message: str) -> None:
        """Print the line."""
        print(message, file=sys.stderr)  # noqa: T201


class Case:
    """The stages before validation, and the repair that follows a refusal.

    Args:
        home: of the workspaces; what lies there is used again.
        recipe: with local held-out rows.
    """

    def __init__(self, home: Path, recipe: Recipe) -> None:
        self.home, self.recipe = home, recipe
        self.hub = Hub.from_settings(Settings(home=home))
        digest = resolve_source(recipe.validation.heldout, self.hub).digest
        workspace = Workspace.of_release(home, "demo-1")
        facts = {"target": "acme/out", "release_id": "demo-1", "sources": {HELDOUT: digest}}
        self.plan = workspace.run("plan", PlanRecord, {}, lambda _: FACTS["plan"] | facts)
        bases = Workspace.of_base(home, self.plan.base, self.plan.commit)
        self.download = bases.run("download", DownloadRecord, {}, self._base)
        self.convert = workspace.run("convert", ConvertRecord, {}, self._converted)

    def _base(self, folder: Path) -> dict[str, object]:
        folder.rmdir()
        build_trained(folder)
        return FACTS["download"]

    def _converted(self, folder: Path) -> dict[str, object]:
        make_output(self.download.path, self.home / "output")
        facts = convert_build(folder, self.download.path, self.home / "output", RECIPE, SILENT)
        plant(folder)
        return facts

    def repair(
        self, recipe: Recipe | None = None, refusal: str = "mean KL: too much"
    ) -> ConvertRecord:
        """The stage, as the flow runs it after a refusal."""
        return run(
            self.plan, self.download, self.convert, refusal, recipe=recipe or self.recipe,
            hub=self.hub, home=self.home, reporter=SILENT,
        )  # fmt: skip


def plant(folder: Path) -> None:
    """One layer's activations are cut off at a 64th of their range, which no static check sees."""
    name = f"{PLANTED}.input_global_scale"
    for path in folder.glob("*.safetensors"):
        tensors = load_file(path)
        if name in tensors:
            tensors[name] = 64 * tensors[name]
            save_file(tensors, path, metadata={"format": "pt"})
