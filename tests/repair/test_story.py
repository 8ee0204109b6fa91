"""What is told of a repair, and that a repaired release is found again; from made-up records."""

from pathlib import Path

import pytest

from flows.judged import judged
from tasks.core.errors import InputError
from tasks.core.gate_records import ValidateRecord
from tasks.core.recipe import load_recipe
from tasks.core.records import ConvertRecord, Release
from tasks.core.repair_records import KeptLayers, RepairStep, repair_stage
from tasks.core.workspace import Workspace
from tasks.upload.card import render
from tasks.upload.provenance import provenance
from tasks.validate.evidence import Evidence
from tasks.validate.report import as_html
from tests.finished_stages import FACTS, FILES, finish_stages
from tests.validate.evidences import evidence

LAYERS = ("model.layers.1.mlp.gate_proj", "model.layers.1.mlp.up_proj")
STEP = RepairStep(
    attempt=1, refusal="mean KL: 0.4 <b>", engine="transformers 5", considered=32, tokens=1152,
    kept=(KeptLayers(modules=LAYERS, bytes=4_200_000, gain=0.31),), kl_before=0.4, kl_after=0.09,
    bytes_before=9_000_000, bytes_after=13_200_000,
)  # fmt: skip


def repaired(home: Path) -> Release:
    """A release whose first candidate was refused: the accepted one is the repair's."""
    made = finish_stages(home, "acme/small-NVFP4")
    workspace = Workspace.of_release(home, made.plan.release_id)

    def write(stage: str, folder: Path) -> None:
        for name, data in FILES[stage].items():
            (folder / name).write_bytes(data)

    def keep(folder: Path) -> dict[str, object]:
        write("convert", folder)
        (folder / "config.json").write_text("{}")
        return FACTS["convert"] | {"repairs": (STEP,)}

    def judge(folder: Path) -> dict[str, object]:
        write("validate", folder)
        return FACTS["validate"]

    base = {"download": made.download.digest}
    convert = workspace.run(
        repair_stage(1), ConvertRecord, base | {"convert": made.convert.digest}, keep
    )
    validate = workspace.run(
        "validate", ValidateRecord, base | {convert.stage: convert.digest}, judge
    )
    recipe = load_recipe("demo", {"validation.repair": {"attempts": 2}})
    return Release(
        made.plan, made.download, made.calibrate, made.quantize, convert, validate, recipe
    )


def test_a_repaired_release_is_found_whole(tmp_path: Path) -> None:
    """The same release again: neither judged nor repaired anew, although attempts are left."""
    release = repaired(tmp_path)
    workspace = Workspace.of_release(tmp_path, release.plan.release_id)
    first = workspace.finished("convert", ConvertRecord)
    assert first is not None
    found = judged(
        release.plan, release.download, release.calibrate, first, release.recipe, workspace
    )
    assert found == (release.convert, release.validate)


def test_card_and_provenance_name_what_was_kept(tmp_path: Path) -> None:
    """Layers, bytes and the earlier refusal, which cannot break out of the page."""
    release = repaired(tmp_path)
    card = render(release, "https://hub.example", "5f" * 32)
    for told in (*LAYERS, "0.31000", "4.20 MB", "The gate refused the release"):
        assert told in card
    assert "0.4 <b>" not in card.replace("`mean KL: 0.4 <b>`", "")
    statement = provenance(release, {}, "https://hub.example")
    (verdict, *_) = statement["predicate"]["runDetails"]["byproducts"]
    assert verdict["annotations"]["repairs"] == [STEP.model_dump(mode="json")]


def test_the_report_tells_the_story() -> None:
    """Why it was refused, what was measured and kept, what it cost, and the verdict since."""
    told: Evidence = evidence().model_copy(update={"repairs": (STEP,)})
    page = as_html(told)
    assert "How it was repaired" in page
    for words in (*LAYERS, "mean KL: 0.4 &lt;b&gt;", "0.40000 to 0.09000", "4.20 MB", "ACCEPT"):
        assert words in page
    assert "How it was repaired" not in as_html(evidence())


def test_a_recipe_keeps_exactly_what_was_kept() -> None:
    """A kept layer's name is no pattern, and no prefix of another's."""
    recipe = load_recipe("demo").keeping(["model.layers.1.mlp.up_proj"])
    assert recipe.keeps("model.layers.1.mlp.up_proj")
    assert not recipe.keeps("model.layers.1.mlp.up_proj_2")
    assert not recipe.keeps("modelxlayers.1.mlp.up_proj")
    with pytest.raises(InputError, match="size_budget"):
        load_recipe("demo", {"validation.repair": {"size_budget": 2}})
