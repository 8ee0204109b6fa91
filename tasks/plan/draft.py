"""A plan before it is written: its facts, as a record, as JSON and as a table."""

from dataclasses import dataclass
from functools import cached_property

from tasks.core.digest import indented_json
from tasks.core.recipe import Recipe, release_id
from tasks.core.records import Estimate, Hardware
from tasks.core.versions import RESULT_SHAPING, installed
from tasks.plan.base import Base
from tasks.plan.table import estimate_rows, markdown


@dataclass(frozen=True)
class Draft:
    """What will be made of which base, and what it takes.

    Attributes:
        base: what was seen of the base.
        target: repository of the release.
        recipe: how it is made.
        sources: digest of each data source, by its place in the recipe.
        hardware: of the machine that quantizes.
        estimate: what it takes there.
    """

    base: Base
    target: str
    recipe: Recipe
    sources: dict[str, str]
    hardware: Hardware
    estimate: Estimate

    @cached_property
    def release_id(self) -> str:
        """Name of the release: base, recipe, data and the tools that shape the result."""
        return release_id(self.base.commit, self.recipe, self.sources, installed(*RESULT_SHAPING))

    @property
    def inputs(self) -> dict[str, str]:
        """What the plan is made from."""
        return {
            "base": self.base.repo,
            "commit": self.base.commit,
            "target": self.target,
            "release": self.release_id,
        }

    @property
    def facts(self) -> dict[str, object]:
        """The fields of a `PlanRecord` that are its own."""
        return {
            "base": self.base.repo,
            "commit": self.base.commit,
            "target": self.target,
            "architecture": self.base.architecture,
            "release_id": self.release_id,
            "sources": self.sources,
            "license": self.base.license,
            "hardware": self.hardware,
            "estimate": self.estimate,
        }

    def json(self) -> str:
        """Facts, recipe and versions, for programs."""
        whole = {**self.facts, "recipe": self.recipe, "versions": installed(*RESULT_SHAPING)}
        return indented_json(whole)

    def markdown(self) -> str:
        """A table for people."""
        named = [
            ("base", self.base.repo),
            ("commit", self.base.commit),
            ("target", self.target or "none"),
            ("architecture", self.base.architecture),
            ("license", self.base.license or "none named"),
            ("recipe", self.recipe.name),
        ]
        data = [(f"data of {place}", digest) for place, digest in self.sources.items()]
        rows = named + data + estimate_rows(self.estimate, self.hardware)
        return markdown(f"Plan of {self.release_id}", rows)
