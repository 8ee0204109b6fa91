"""compressed-tensors' ignore list, as transformers and as vLLM match it."""

import ast
import re

import pytest
from compressed_tensors.utils.match import match_name

from tasks.core.ignore import ignored, ignored_by_some, reader_names, unquantized_linears
from tasks.core.schemes import TensorSpec
from tasks.core.settings import Settings

SERVE = Settings().serve_python.parents[1]
TOWER = "model.vision_tower.encoder.layers.0.mlp.up_proj.linear"
LAYER = "model.language_model.layers.0.mlp.up_proj"


@pytest.mark.parametrize(
    ("entries", "by_all", "by_some"),
    [
        ([r"re:.*vision_tower.*"], True, True),
        ([TOWER], True, True),
        ([r"re:model\.vision_tower.*"], False, True),
        ([r"re:vision_tower.*"], False, True),
        ([r"re:model\.vision_tower.*", r"re:vision_tower.*"], True, True),
        ([r"re:tower"], False, False),
        (["vision_tower"], False, False),
        ([], False, False),
    ],
)
def test_a_regex_must_hold_for_every_readers_name(
    entries: list[str], *, by_all: bool, by_some: bool
) -> None:
    """A regex stays as it is when vLLM renames modules; an exact entry is renamed along."""
    assert ignored(TOWER, entries) is by_all
    assert ignored_by_some(TOWER, entries) is by_some


@pytest.mark.parametrize("entry", [r"re:.*up_proj", "re:up_proj", LAYER, "up_proj", r"re:.*mlp$"])
def test_single_names_match_as_the_library_matches(entry: str) -> None:
    """For a name that no reader changes, the library and we agree on each entry."""
    name = LAYER.replace("model.language_model", "decoder")
    entry = entry.replace("model.language_model", "decoder")
    assert ignored(name, [entry]) is match_name(name, entry)


@pytest.mark.parametrize("module", [LAYER, TOWER, "model.embed_vision.embedding_projection"])
def test_vllm_names_are_those_of_its_mapper(module: str) -> None:
    """The prefixes are those in the source of the vLLM that will serve the release."""
    sources = list(SERVE.glob("lib/python3*/site-packages/vllm/model_executor/models/gemma4_mm.py"))
    if not sources:
        pytest.fail("there is no serving environment; type: make serve")
    mapper = re.search(r"orig_to_new_prefix=({.*?})", sources[0].read_text(), re.DOTALL)
    assert mapper is not None
    prefixes: dict[str, str] = ast.literal_eval(mapper[1])
    old = next(prefix for prefix in prefixes if module.startswith(prefix))
    assert reader_names(module) == (module, prefixes[old] + module.removeprefix(old))


def test_the_head_has_two_names_and_others_one() -> None:
    """The output head hangs below the language model in vLLM; unknown modules are not renamed."""
    assert reader_names("lm_head") == ("lm_head", "language_model.lm_head")
    assert reader_names("decoder.x") == ("decoder.x",)


def test_matrices_are_linears_unless_they_are_embeddings() -> None:
    """Norms, convolutions, tables and token embeddings are no Linear."""
    shapes = {
        "a.norm.weight": (8,),
        "a.conv.weight": (8, 8, 3, 3),
        "a.embed_tokens.weight": (8, 8),
        "a.position_embeddings.weight": (8, 8),
        "a.table": (8, 8),
        "a.embed_vision.embedding_projection.weight": (8, 8),
        "lm_head.weight": (8, 8),
    }
    tensors = {name: TensorSpec("BF16", shape) for name, shape in shapes.items()}
    expected = ["a.embed_vision.embedding_projection", "lm_head"]
    assert unquantized_linears(tensors) == expected
