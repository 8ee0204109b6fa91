"""The convert stage, on what AutoRound would leave for a small Gemma 4."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tasks.convert.convert import AUTOROUND_CONFIG, build, run
from tasks.core.checkpoint import INDEX, Checkpoint
from tasks.core.errors import IntegrityError, QuantizeError, RecipeError
from tasks.core.manifest import FileRecord, relative_files
from tasks.core.progress import Silent
from tasks.core.records import (
    ConvertRecord,
    DownloadRecord,
    Estimate,
    Hardware,
    PlanRecord,
    QuantizeRecord,
)
from tasks.core.schemes import quantized_modules, release_tensors
from tasks.validate.lint import static_checks
from tests.fake_release import RECIPE, UNUSED, load_stored, make_base, make_output, store

REWRITTEN = {"config.json", INDEX, AUTOROUND_CONFIG}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    make_base(folder)
    return folder


@pytest.fixture(scope="module")
def output(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("autoround") / "output"
    make_output(base, folder)
    return folder


@pytest.fixture(scope="module")
def release(base: Path, output: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("release") / "convert"
    build(folder, base, output, RECIPE, Silent())
    return folder


def test_unquantized_tensors_are_the_bases_bytes(base: Path, release: Path) -> None:
    """Every tensor that is not quantized is the base's to the bit, unused ones included."""
    original, made = Checkpoint(base), Checkpoint(release)
    modules = quantized_modules(original.tensors, RECIPE)
    kept = [n for n in original.where if n.removesuffix(".weight") not in modules]
    assert set(UNUSED) < set(kept)
    assert len(kept) + len(modules) == len(original.where)
    for name in kept:
        assert made.tensors[name] == original.tensors[name]
        assert made.read(name) == original.read(name)


def test_quantized_tensors_are_autorounds_bytes(output: Path, base: Path, release: Path) -> None:
    """Every packed tensor is AutoRound's to the bit, read back by the safetensors library."""
    theirs = load_file(output / "model.safetensors")
    ours = {n: t for path in release.glob("*.safetensors") for n, t in load_file(path).items()}
    modules = quantized_modules(Checkpoint(base).tensors, RECIPE)
    packed = {n for n in ours if n.rpartition(".")[0] in modules and n not in Checkpoint(base)}
    assert len(packed) == 4 * len(modules) > 0
    for name in packed:
        assert torch.equal(ours[name].view(torch.uint8), theirs[name].view(torch.uint8))


def test_nothing_is_missing_and_nothing_extra(base: Path, release: Path) -> None:
    """The release has the tensors that follow from base and recipe, and the index adds up."""
    tensors = Checkpoint(base).tensors
    expected = release_tensors(tensors, quantized_modules(tensors, RECIPE))
    assert Checkpoint(release).tensors == expected
    index = json.loads((release / INDEX).read_text())
    assert index["metadata"]["total_size"] == sum(spec.nbytes for spec in expected.values())
    assert all(p.stat().st_size <= RECIPE.max_shard_bytes for p in release.glob("*.safetensors"))


def test_files_beside_the_weights_are_the_bases(base: Path, release: Path) -> None:
    """Tokenizer, template, processor, generation and licence come from the base unchanged."""
    beside = {f for f in relative_files(release) if not f.endswith(".safetensors")} - REWRITTEN
    assert {"tokenizer.json", "chat_template.jinja", "generation_config.json", "LICENSE"} < beside
    for name in beside:
        assert (release / name).read_bytes() == (base / name).read_bytes()
    assert not (release / "quantization_config.json").exists()


def test_config_is_the_bases_plus_the_scheme(base: Path, output: Path, release: Path) -> None:
    """config.json adds quantization_config alone, and AutoRound's settings are kept apart."""
    config = json.loads((release / "config.json").read_text())
    settings = config.pop("quantization_config")
    assert config == json.loads((base / "config.json").read_text())
    assert settings["format"] == "nvfp4-pack-quantized"
    assert r"re:(.*\.)?mtp\.projection$" in settings["ignore"]
    theirs = json.loads((output / "quantization_config.json").read_text())
    assert json.loads((release / AUTOROUND_CONFIG).read_text()) == theirs


def test_the_linter_finds_nothing(base: Path, release: Path) -> None:
    """What convert makes passes every static check."""
    checks = static_checks(release, base, recipe=RECIPE, reporter=Silent())
    assert [check for check in checks if not check.passed] == []


def test_wrapper_names_in_another_order_are_mapped(
    base: Path, release: Path, tmp_path: Path
) -> None:
    """A library that nests its wrappers otherwise gives the same release, byte for byte."""

    def rename(name: str) -> str:
        return name.replace("model.language_model.", "language_model.model.")

    make_output(base, tmp_path / "output", rename)
    build(tmp_path / "again", base, tmp_path / "output", RECIPE, Silent())
    assert _content(tmp_path / "again") == _content(release)


def test_leftovers_of_an_interrupted_run_are_removed(
    base: Path, output: Path, release: Path, tmp_path: Path
) -> None:
    """A run that finds half of an earlier one makes what a run in an empty folder makes."""
    (tmp_path / "model-00001-of-00009.safetensors").write_bytes(b"half")
    build(tmp_path, base, output, RECIPE, Silent())
    assert _content(tmp_path) == _content(release)


def test_a_layer_autoround_left_out_is_refused(base: Path, output: Path, tmp_path: Path) -> None:
    """A layer that AutoRound did not quantize stops the release, by name."""
    layer = "model.language_model.layers.1.mlp.down_proj"
    short = _edited(output, tmp_path, lambda name: not name.startswith(layer))
    with pytest.raises(QuantizeError, match=r"missing \['layers\.1\.mlp\.down_proj'\]"):
        build(tmp_path / "out", base, short, RECIPE, Silent())


def test_a_lost_scale_is_refused(base: Path, output: Path, tmp_path: Path) -> None:
    """A packed layer without one of its four tensors stops the release, by name."""
    lost = "model.language_model.layers.0.self_attn.q_proj.input_global_scale"
    short = _edited(output, tmp_path, lambda name: name != lost)
    with pytest.raises(QuantizeError, match=f"(?s){lost}.*no such tensor"):
        build(tmp_path / "out", base, short, RECIPE, Silent())


def test_a_layer_autoround_should_have_kept_is_refused(
    base: Path, output: Path, tmp_path: Path
) -> None:
    """A recipe that keeps a layer AutoRound quantized stops the release, by name."""
    recipe = RECIPE.model_copy(update={"keep": (*RECIPE.keep, r".*layers\.0\.mlp\.up_proj")})
    with pytest.raises(QuantizeError, match=r"unasked \['layers\.0\.mlp\.up_proj'\]"):
        build(tmp_path / "out", base, output, recipe, Silent())


def test_a_shard_limit_below_the_largest_tensor_is_a_recipe_error(
    base: Path, output: Path, tmp_path: Path
) -> None:
    """A limit that no shard can hold is refused with the least limit that works."""
    recipe = RECIPE.model_copy(update={"max_shard_bytes": 1 << 20})
    with pytest.raises(RecipeError) as refused:
        build(tmp_path / "out", base, output, recipe, Silent())
    least = int(refused.value.expected.split()[-1])
    recipe = RECIPE.model_copy(update={"max_shard_bytes": least})
    build(tmp_path / "out", base, output, recipe, Silent())
    assert max(p.stat().st_size for p in (tmp_path / "out").glob("*.safetensors")) <= least


def test_a_truncated_output_is_refused(base: Path, output: Path, tmp_path: Path) -> None:
    """AutoRound's shard cut short is an integrity error, not a broken release."""
    shutil.copytree(output, tmp_path / "output")
    shard = tmp_path / "output" / "model.safetensors"
    shard.write_bytes(shard.read_bytes()[:-1])
    with pytest.raises(IntegrityError, match="not a whole safetensors file"):
        build(tmp_path / "out", base, tmp_path / "output", RECIPE, Silent())


def test_a_second_run_hands_out_the_first(base: Path, output: Path, tmp_path: Path) -> None:
    """The stage is idempotent, its record counts what was made, and a changed file is remade."""
    plan, download, quantize = _records(base, output)

    def again() -> ConvertRecord:
        return run(plan, download, quantize, recipe=RECIPE, home=tmp_path, reporter=Silent())

    first = again()
    shard = next(first.path.glob("*.safetensors"))
    stamp = shard.stat().st_mtime_ns
    assert again() == first
    assert shard.stat().st_mtime_ns == stamp
    shard.write_bytes(b"broken")
    remade = again()
    assert (remade.digest, remade.ignore) == (first.digest, first.ignore)
    assert first.quantized_modules == 13
    assert first.copied_tensors + first.quantized_modules == len(Checkpoint(base).where)
    assert first.weight_bytes == sum(f.size for f in first.files if f.path.endswith(".safetensors"))


def _content(folder: Path) -> dict[str, bytes]:
    return {name: (folder / name).read_bytes() for name in relative_files(folder)}


def _edited(output: Path, scratch: Path, keep: Callable[[str], bool]) -> Path:
    folder = scratch / "edited"
    shutil.copytree(output, folder)
    tensors = {name: stored for name, stored in load_stored(folder).items() if keep(name)}
    store(folder, tensors)
    return folder


def _records(base: Path, output: Path) -> tuple[PlanRecord, DownloadRecord, QuantizeRecord]:
    commit = "c" * 40
    plan = PlanRecord(
        stage="plan", folder="/nowhere", files=(), inputs={}, seconds=0, base="a/b", commit=commit,
        target="a/c", architecture="Gemma4ForConditionalGeneration", release_id="demo-1",
        sources={}, license="apache-2.0", hardware=Hardware(cpus=2, ram=1, disk_free=1),
        estimate=Estimate(
            base=1, release=1, parameters=1, quantized_parameters=1, quantized_modules=1, blocks=1,
            vram=1, ram=1, disk=1, hours=1,
        ),
    )  # fmt: skip
    download = DownloadRecord(
        stage="download", folder=str(base), files=_files(base), inputs={}, seconds=0, base="a/b",
        commit=commit,
    )  # fmt: skip
    quantize = QuantizeRecord(
        stage="quantize", folder=str(output), files=_files(output), inputs={}, seconds=0,
        tuner="autoround", device="cpu", blocks=(), samples_used=1, versions={}, peak_vram=0,
        peak_ram=1,
    )  # fmt: skip
    return plan, download, quantize


def _files(folder: Path) -> tuple[FileRecord, ...]:
    return tuple(FileRecord.of(folder, folder / name) for name in relative_files(folder))
