"""Model cards: the YAML metadata on top of a README and the text below it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

_FRONT_MATTER = re.compile(
    r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.DOTALL | re.MULTILINE
)
# fields whose type the Hub checks
_TEXT = (
    "base_model_relation",
    "library_name",
    "pipeline_tag",
    "model_name",
    "license_name",
    "license_link",
)
_TEXTS = ("tags", "base_model", "datasets", "language", "metrics", "license")


@dataclass(frozen=True, slots=True)
class Card:
    """A parsed README.

    Attributes:
        metadata: What the front matter says, empty when it says nothing or is wrong.
        text: Markdown below the front matter.
        errors: What is wrong with the front matter.
        warnings: What is worth knowing about it.
    """

    metadata: dict[str, Any]
    text: str
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    @property
    def tags(self) -> list[str]:
        """The tags that the Hub derives from the metadata."""
        return list(dict.fromkeys(_tags(self.metadata)))


def parse_card(readme: str) -> Card:
    """Split ``readme`` and check its front matter; never raises."""
    match = _FRONT_MATTER.match(readme)
    if match is None:
        return Card({}, readme, warnings=["empty or missing yaml metadata in repo card"])
    text = readme[match.end() :]
    try:
        metadata = yaml.load(match[1], Loader=_JsonLoader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        return Card({}, text, errors=[f"invalid YAML: {_one_line(error)}"])
    if metadata is None:
        return Card({}, text, warnings=["empty or missing yaml metadata in repo card"])
    if not isinstance(metadata, dict) or not all(isinstance(key, str) for key in metadata):
        return Card({}, text, errors=["the metadata must be a mapping with text keys"])
    errors = list(_type_errors(metadata))
    return Card({} if errors else metadata, text, errors=errors)


class _JsonLoader(yaml.SafeLoader):
    """A safe loader that leaves dates as text."""


_JsonLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in rules if tag != "tag:yaml.org,2002:timestamp"]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _type_errors(metadata: dict[str, Any]) -> Iterator[str]:
    for name in _TEXT:
        if not isinstance(metadata.get(name, ""), str):
            yield f'"{name}" must be a string'
    for name in _TEXTS:
        if not _is_texts(metadata.get(name, "")):
            yield f'"{name}" must be a string or an array of strings'


def _is_texts(value: object) -> bool:
    return isinstance(value, str) or (
        isinstance(value, list) and all(isinstance(item, str) for item in value)
    )


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def _tags(metadata: dict[str, Any]) -> Iterator[str]:
    for name in ("library_name", "pipeline_tag"):
        if metadata.get(name):
            yield metadata[name]
    yield from _listed(metadata.get("tags", []))
    yield from _listed(metadata.get("language", []))
    yield from (f"dataset:{name}" for name in _listed(metadata.get("datasets", [])))
    yield from (f"license:{name}" for name in _listed(metadata.get("license", [])))
    for base in _listed(metadata.get("base_model", [])):
        yield f"base_model:{base}"
        if metadata.get("base_model_relation"):
            yield f"base_model:{metadata['base_model_relation']}:{base}"


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
