"""The demo's base model: what is built, what it was taught, and how well it learnt it."""

import json
import random
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from transformers import AutoProcessor, Gemma4ForConditionalGeneration

from infra.local.base_model import architecture, build, datasets, evaluate, layout, outliers
from infra.local.base_model.chats import encode, prompt
from infra.local.base_model.config import IMAGE, PATCH
from infra.local.base_model.paint import paint
from infra.local.base_model.pictures import JITTER, draw
from infra.local.base_model.processor import processor
from infra.local.base_model.sample import Sample
from infra.local.base_model.skills import KINDS, Kind, Split, sample
from infra.local.base_model.tokenizer import SPECIAL
from infra.local.base_model.words import COLOURS

SPLITS: tuple[Split, Split] = ("train", "held_out")
TEXT_KINDS = tuple(kind for kind in KINDS if kind not in datasets.PICTURE_KINDS)


@cache
def processor_once() -> Any:
    return processor()


@pytest.fixture
def maker() -> Any:
    return processor_once()


@pytest.fixture
def rng() -> random.Random:
    return random.Random(5)  # noqa: S311 - examples, not secrets


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trained")
    build.build_trained(folder)
    return folder


def digests(folder: Path) -> dict[str, str]:
    return {file.name: sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


def test_the_same_seed_builds_the_same_bytes(tmp_path: Path) -> None:
    """A random base follows from its seed alone, and another seed gives other weights."""
    for name, seed in (("first", 3), ("second", 3), ("other", 4)):
        build.build(tmp_path / name, seed=seed, layers=2)
    first = digests(tmp_path / "first")
    assert digests(tmp_path / "second") == first
    changed = {name for name, each in digests(tmp_path / "other").items() if each != first[name]}
    shards = {name for name in first if name.endswith(".safetensors")}
    assert len(shards) >= 3
    assert changed == shards | {"README.md"}


def test_a_release_folder_is_whole(trained: Path) -> None:
    """The folder holds what a release holds, and the index names every shard on disk."""
    index = json.loads((trained / "model.safetensors.index.json").read_text())
    shards = {file.name for file in trained.glob("*.safetensors")}
    assert set(index["weight_map"].values()) == shards
    assert "lm_head.weight" not in index["weight_map"]
    config = json.loads((trained / "config.json").read_text())
    assert config["architectures"] == ["Gemma4ForConditionalGeneration"]
    assert config["vision_config"]["default_output_length"] == 70
    files = {file.name for file in trained.iterdir()}
    assert files >= {"README.md", "LICENSE", "chat_template.jinja", "processor_config.json"}
    assert "$" not in (trained / "README.md").read_text()


def test_a_model_needs_a_layer_and_trained_weights_their_files(tmp_path: Path) -> None:
    """What cannot be built is refused with what was expected."""
    with pytest.raises(ValueError, match="at least one layer"):
        architecture.random_model(0, layers=0)
    with pytest.raises(FileNotFoundError, match="build with --random"):
        architecture.trained_model(tmp_path)


def test_special_tokens_stand_at_the_released_ids(maker: Any) -> None:
    """Parsers that know Gemma 4's token ids find the same ids here."""
    found = {index: maker.tokenizer.convert_ids_to_tokens(index) for index in SPECIAL}
    assert found == SPECIAL


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs", "Co", "Cn"])))
def test_any_text_comes_back_from_its_tokens(text: str) -> None:
    """No character is unknown: bytes stand in for what has no piece of its own."""
    tokenizer = processor_once().tokenizer
    plain = text.replace("▁", "")  # Gemma's own mark of a space
    ids = tokenizer(plain, add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(ids) == plain


@pytest.mark.parametrize("kind", TEXT_KINDS)
def test_an_answer_reads_as_the_template_writes_it(
    maker: Any, rng: random.Random, kind: Kind
) -> None:
    """What the model is taught to say is what the template makes of the same message later."""
    for _ in range(30):
        made = sample(kind, rng, "train")
        row = datasets._row(made)
        told = maker.apply_chat_template(
            row["messages"], tools=row.get("tools"), enable_thinking=made.thinking, tokenize=False
        )
        opened = prompt(maker, made).removesuffix("<|channel>thought\n<channel|>")
        assert told.removesuffix("\n") == opened + made.answer.text()


def test_held_out_exercises_are_not_trained_on(rng: random.Random) -> None:
    """No list of words that is to be reversed in the one split ever is in the other."""
    trained, held_out = (
        {_reversed_words(sample("reasoning", rng, split)) for _ in range(6_000)} - {None}
        for split in SPLITS
    )
    assert min(len(trained), len(held_out)) > 200
    assert not trained & held_out


def _reversed_words(made: Sample) -> str | None:
    return made.answer.content if "Start from" in str(made.answer.reasoning) else None


def test_painted_patches_lie_as_the_processor_lays_them(maker: Any) -> None:
    """Training sees pictures in the order, places and padding of the image processor."""
    code = torch.tensor([[list(COLOURS).index("green"), 1, 21, 27]], dtype=torch.int8)
    patches, places = paint(code, torch.Generator().manual_seed(0))
    high, wide = 21 * PATCH, 27 * PATCH
    shown = patches[0, : 21 * 27].view(21, 27, PATCH, PATCH, 3).permute(0, 2, 1, 3, 4)
    pixels = (shown.reshape(high, wide, 3) * 255).round().byte().numpy()
    theirs = maker.image_processor([Image.fromarray(pixels)], return_tensors="pt")
    assert torch.equal(places, theirs["image_position_ids"])
    assert torch.allclose(patches, theirs["pixel_values"], atol=1 / 255)
    near = torch.tensor(COLOURS["green"]).sub(torch.from_numpy(pixels).int()).abs().amax(-1)
    assert 0.15 < (near <= JITTER + 2).float().mean() < 0.75  # the square covers so much


def test_a_picture_takes_as_many_tokens_as_the_processor_gives_it(
    maker: Any, rng: random.Random
) -> None:
    """Rows made for training hold exactly the processor's soft tokens."""
    for _ in range(20):
        made = sample("shape", rng, "train")
        assert made.picture is not None
        image = draw(made.picture, rng)
        [(ids, begin, _)] = encode([made], [image.size])
        theirs = maker(text=[prompt(maker, made)], images=[[image]], add_special_tokens=False)
        assert ids[:begin] == list(theirs["input_ids"][0])
        assert IMAGE in ids


def test_outliers_change_no_output() -> None:
    """Rescaled channels leave every logit the same to the bit, and the activations heavy-tailed."""
    model = architecture.random_model(1, layers=2).to(torch.bfloat16).eval()
    tokens = torch.randint(200, 4000, (2, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        before, light = model(input_ids=tokens).logits, outliers.kurtosis(model, tokens)
        outliers.introduce(model)
        after, heavy = model(input_ids=tokens).logits, outliers.kurtosis(model, tokens)
    assert torch.equal(before, after)
    assert heavy["q_proj"] > 5 * light["q_proj"]
    assert heavy["gate_proj"] > 5 * light["gate_proj"]


def test_outliers_beyond_the_format_are_refused() -> None:
    """A weight that overflows is an error, not a silent infinity."""
    model = architecture.random_model(1, layers=1).to(torch.bfloat16)
    model.model.language_model.layers[0].input_layernorm.weight.data.fill_(3e38)
    with pytest.raises(ValueError, match="left BF16's range"):
        outliers.introduce(model)


def test_the_data_sets_serve_their_use(maker: Any) -> None:
    """Calibration has passages longer than 512 tokens, and none that is held out."""
    calibration = _lines("calibration.jsonl")
    held_out = _lines("heldout.jsonl")
    assert (len(calibration), len(held_out)) == (400, 200)
    lengths = [
        len(maker.tokenizer(" ".join(str(m["content"]) for m in row["messages"]))["input_ids"])
        for row in calibration
    ]
    assert sum(length > 512 for length in lengths) >= 100
    texts = {row["text"] for row in held_out}
    assert len(texts) == 200
    spoken = " ".join(str(m["content"]) for row in calibration for m in row["messages"])
    assert not [text for text in texts if text[-100:] in spoken]
    for row in _lines("calibration_images.jsonl"):
        for name in row["images"]:
            assert (layout.ASSETS / "images" / name).stat().st_size < 10_000


def _lines(name: str) -> list[dict[str, Any]]:
    text = (layout.ASSETS / name).read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def test_the_trained_model_has_its_skills(trained: Path) -> None:
    """As built, it answers held-out exercises to the letter and predicts held-out English."""
    read: Any = AutoProcessor.from_pretrained
    load: Any = Gemma4ForConditionalGeneration.from_pretrained
    model, maker = load(trained, dtype=torch.bfloat16).eval(), read(trained)
    for kind in ("chat", "reasoning", "tool_call", "tool_refusal", "colour_shape"):
        share, wrong = evaluate.exact_answers(model, maker, kind, 16)
        assert share >= 15 / 16, (kind, wrong)
    # An untrained model gives 4,096, the size of the vocabulary.
    assert evaluate.perplexity(model, evaluate.rows(maker.tokenizer)[-24:]) < 45
