"""The watch list: which bases, or whose, and what becomes of them."""

from datetime import date
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from tasks.core.errors import InputError
from tasks.core.manifest import Frozen
from tasks.core.plain_yaml import load_plain, mistakes
from tasks.core.recipe import Recipe, load_recipe, shipped_recipes

REPO = r"^[\w.-]+/[\w.-]+$"
NAME = "{name}"


class _Releases(Frozen):
    """How a base is released.

    Attributes:
        recipe: a shipped recipe's name, or the path of a YAML file.
        changes: values to change in it by dotted key.
    """

    recipe: str
    changes: dict[str, Any] = Field(default_factory=dict)

    def load(self) -> Recipe:
        """The recipe with its changes.

        Raises:
            RecipeError: there is none of that name, unknown keys or impossible values.
        """
        return load_recipe(self.recipe, self.changes)

    def choice(self) -> dict[str, Any]:
        """The recipe as the release flow's parameters name it; raises as `load`."""
        if self.recipe in shipped_recipes():
            return {"recipe": self.recipe, "changes": self.changes}
        return {"recipe": "custom", "custom_recipe": self.load().model_dump(mode="json")}


class Base(_Releases):
    """One base that is watched.

    Attributes:
        repo: its repository.
        revision: branch of it.
        target: repository of the release.
    """

    repo: Annotated[str, Field(pattern=REPO)]
    revision: str = "main"
    target: Annotated[str, Field(pattern=REPO)]


class Author(_Releases):
    """A user or organization whose new models are watched.

    Attributes:
        author: the name.
        names: glob that a model's name must match.
        since: day from which on models are new; older ones are left alone.
        target: repository of the release; `{name}` stands for the model's name.
    """

    author: Annotated[str, Field(pattern=r"^[\w.-]+$")]
    names: str = "*"
    since: date
    target: str

    @field_validator("target")
    @classmethod
    def _names_each(cls, target: str) -> str:
        if target.count(NAME) != 1:
            msg = "target needs {name} once, or all models would be released in one repository"
            raise ValueError(msg)
        return target

    def base(self, repo: str) -> Base:
        """The entry of one of the author's models."""
        name = repo.partition("/")[2]
        common = self.model_dump(include={"recipe", "changes"})
        return Base(repo=repo, target=self.target.replace(NAME, name), **common)


class WatchList(Frozen):
    """Everything that is watched.

    Attributes:
        bases: one by one.
        authors: those whose new models are bases too.
    """

    bases: tuple[Base, ...] = ()
    authors: tuple[Author, ...] = ()

    @model_validator(mode="after")
    def _each_target_once(self) -> Self:
        targets = [base.target for base in self.bases]
        twice = sorted({target for target in targets if targets.count(target) > 1})
        if twice:
            msg = f"two bases are released in {', '.join(twice)}"
            raise ValueError(msg)
        if own := sorted({base.repo for base in self.bases} & set(targets)):
            msg = f"{', '.join(own)} is base and target"
            raise ValueError(msg)
        return self

    def is_target(self, repo: str) -> bool:
        """Whether a repository is a release of ours, which must not become a base."""
        patterns = [author.target.replace(NAME, "*") for author in self.authors]
        return repo in {base.target for base in self.bases} or any(
            fnmatchcase(repo, pattern) for pattern in patterns
        )


def load_watch_list(path: Path) -> WatchList:
    """Read a watch list, and every recipe that it names.

    Raises:
        InputError: it is missing, no YAML, or has unknown keys or impossible values.
        RecipeError: a recipe does.
    """
    if not path.is_file():
        raise InputError(
            f"there is no watch list {path}",
            expected="a YAML file with bases: and authors:",
            remedy="write one (docs/how-to/watch.md), or name it in ROUNDHOUSE_WATCH_LIST",
        )
    try:
        found = WatchList.model_validate(load_plain(path.read_text()) or {})
    except ValidationError as error:
        raise InputError(
            f"the watch list {path} is not valid",
            expected="the keys of docs/how-to/watch.md",
            found=mistakes(error),
            remedy="mend the named keys",
        ) from None
    except ValueError as error:  # a ValidationError is one too, so this comes last
        raise InputError(f"{path} is not plain YAML", found=str(error)) from None
    for entry in (*found.bases, *found.authors):
        entry.load()
    return found
