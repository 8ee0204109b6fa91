"""Rows with an image, through the base's own processor."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image, UnidentifiedImageError

from tasks.calibrate.job import Row
from tasks.core.chat_template import ChatTemplate
from tasks.core.errors import InputError

TYPES = "mm_token_type_ids"
NOT_OF_THE_IMAGE = frozenset({"input_ids", "attention_mask", TYPES})


@dataclass(frozen=True)
class ImageRow:
    """A chat about an image.

    Attributes:
        ids: token ids; the image's soft tokens stand at their places.
        types: 1 at the image's tokens, 0 elsewhere.
        tensors: what the vision tower wants, float or int32, with a first dimension of one.
    """

    ids: list[int]
    types: list[int]
    tensors: dict[str, torch.Tensor]


def render(row: Row, number: int, processor: Any, chats: ChatTemplate) -> ImageRow:
    """Token ids and pixels of one row.

    Args:
        row: has `image` (path of a file), and `messages` or `text`.
        number: of the row in its source, for messages.
        processor: the base's.
        chats: its chat template.

    Raises:
        InputError: no image, or a file that is none.
        BaseModelError: the base's chat template does not render it.
    """
    if not isinstance(row.get("image"), str):
        raise InputError(f"row {number} of calibration.images has no image", found=f"{sorted(row)}")
    text = chats.render(with_image(row), row)
    made = processor(
        text=[text],
        images=[[_opened(Path(row["image"]), number)]],
        return_tensors="pt",
        add_special_tokens=False,
    )
    return ImageRow(
        made["input_ids"][0].tolist(),
        made[TYPES][0].tolist(),
        {name: _narrow(value) for name, value in made.items() if name not in NOT_OF_THE_IMAGE},
    )


def _narrow(value: torch.Tensor) -> torch.Tensor:
    return value if value.is_floating_point() else value.int()


def with_image(row: Row) -> list[dict[str, Any]]:
    """The row's messages, with a place for the image; it opens the first turn of the user if none.

    Raises:
        InputError: more than one place for an image.
    """
    if "messages" not in row:
        asked = [{"type": "image"}, {"type": "text", "text": row["text"]}]
        return [{"role": "user", "content": asked}]
    messages: list[dict[str, Any]] = row["messages"]
    places = sum(part.get("type") == "image" for m in messages for part in _parts(m))
    if places > 1:
        raise InputError("a row of calibration.images shows several images", expected="one a row")
    if places == 1:
        return messages
    first = next(n for n, message in enumerate(messages) if message["role"] == "user")
    opened = messages[first] | {"content": [{"type": "image"}, *_parts(messages[first])]}
    return [*messages[:first], opened, *messages[first + 1 :]]


def _parts(message: dict[str, Any]) -> list[dict[str, Any]]:
    content = message.get("content")
    return [{"type": "text", "text": content}] if isinstance(content, str) else content or []


def _opened(path: Path, number: int) -> Image.Image:
    try:
        with Image.open(path) as image:
            return image.convert("RGB")
    except (OSError, UnidentifiedImageError) as error:
        raise InputError(
            f"the image of row {number} of calibration.images cannot be read",
            expected="a picture file",
            found=f"{path.name}: {error}",
        ) from None
