"""The card, from constructed records."""

import re
import shlex
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData, parse_eval_result_entries
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from tasks.core.errors import InputError
from tasks.core.gate_records import Check
from tasks.core.recipe import Recipe
from tasks.core.records import ConvertRecord, Release
from tasks.upload.card import render
from tasks.upload.eval_results import eval_results
from tasks.upload.markup import BREAKS, amount, code, text, word
from tests.finished_stages import BASE_CARD, COMMIT, METRICS, finish_stages

HUB = "https://hub.example"
KEY = "5f" * 32
MARKDOWN = MarkdownIt("commonmark", {"html": True}).enable("table")
SECTIONS = [
    "Architecture", "Optimisations", "What is quantized, and what is not", "Serve it",
    "Evaluation", "Calibration", "How it was made", "Files", "Verify and reproduce", "Limits",
    "Licence",
]  # fmt: skip


@pytest.fixture
def sources(tmp_path: Path) -> Release:
    return finish_stages(tmp_path, "acme/small-NVFP4")


def parsed(card: str) -> ModelCardData:
    data = ModelCard(card).data
    assert isinstance(data, ModelCardData)
    return data


def rows(card: str) -> list[list[str]]:
    """Cells of every table row of the page, as a reader of the rendered page sees them."""
    page = MARKDOWN.render(ModelCard(card).text)
    return [
        re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        for row in re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    ]


def test_the_metadata_is_what_the_hub_reads(sources: Release) -> None:
    """huggingface_hub parses it, and finds base, relation, licence, data and results."""
    data = parsed(render(sources, HUB, KEY))
    assert data.base_model == ["acme/base-it"]
    assert data.get("base_model_relation") == "quantized"
    assert (data.library_name, data.pipeline_tag) == ("transformers", "image-text-to-text")
    assert (data.license, data.language) == ("apache-2.0", ["en", "de"])
    assert data.tags == ["nvfp4", "compressed-tensors", "vllm", "auto-round"]
    assert data.datasets == ["roundhouse/demo-data"]
    values = {result.metric_type: result.metric_value for result in data.eval_results or []}
    assert values["perplexity"] == METRICS.perplexity
    assert values["kl_divergence"] == METRICS.mean_kl
    assert values["top1_agreement"] == METRICS.top1_agreement


def test_every_section_is_there_in_order(sources: Release) -> None:
    """A reader finds what a release's card has to say under its name."""
    assert re.findall(r"^## (.+)$", render(sources, HUB, KEY), re.MULTILINE) == SECTIONS


def test_the_base_is_linked(sources: Release) -> None:
    """The rendered link leads to the base on the Hub."""
    page = MARKDOWN.render(ModelCard(render(sources, HUB, KEY)).text)
    assert f'<a href="{HUB}/acme/base-it">acme/base-it</a>' in page
    assert "10.50 M parameters, of which 7.00 M are quantized" in page


def test_figures_are_the_records(sources: Release) -> None:
    """Evaluation with limits, sizes, losses and digests are on the rendered page."""
    table = rows(render(sources, HUB, KEY))
    limits = sources.recipe.validation.limits
    assert ["perplexity", "11.0625", "11.3437", "97.5 %", "", "", "48"] in table
    kl = ["mean KL", "0", "0.0312", "", "0.0250 to 0.0400", "at most 0.12", "48"]
    ratio = ["perplexity ratio", "1", "1.0254", "97.5 %", "1.0100 to 1.0400", "at most 1.12", "48"]
    top1 = ["top-1 agreement", "1", "0.9000", "90.0 %", "0.8900 to 0.9100", "at least 0.75", "48"]
    assert [row for row in (kl, ratio, top1) if row not in table] == []
    assert ["tool calls", "12", "2400", "0.04000", "0.05000", "1.0300", "0.9100"] in table
    assert [
        "size of the weights",
        "4.80 kB",
        "1.80 kB",
        "",
        "",
        f"at most {limits.size_ratio} of the base",
        "",
    ] in table
    assert ["<code>model.layers.1</code>", "0.75", "0.625", "3"] in table
    for file in sources.convert.files:
        cells = [f"<code>{file.path}</code>", str(file.size), f"<code>{file.sha256}</code>"]
        assert cells in table


def test_tasks_stand_beside_their_base(sources: Release) -> None:
    """Base, release, recovery, interval and flips of a task are on the page and in the results."""
    card = render(sources, HUB, KEY)
    assert [
        "tools", "0.969", "0.906", "93.5 %", "-0.062", "-0.219 to 0.031", "32", "3, 1"
    ] in rows(card)  # fmt: skip
    results = parsed(card).eval_results
    assert results
    told = {(r.dataset_name, r.metric_type): r.metric_value for r in results}
    assert told["tools, 32 items", "exact_match"] == 0.90625
    assert told["tools, 32 items", "base_exact_match"] == 0.96875
    assert {r.dataset_type for r in results} == {"roundhouse/demo-data"}


def test_a_registered_benchmark_has_an_entry(sources: Release) -> None:
    """The Hub's own reader finds score, benchmark, its commit and the evidence; else no file."""
    assert eval_results(sources, HUB) == ""
    values = sources.recipe.model_dump()
    (task,) = [t for t in values["validation"]["tasks"] if t["name"] == "tools"]
    task |= {"benchmark": "acme/bench:tools", "source": {"repo": "acme/bench", "files": "t.jsonl"}}
    values["validation"]["tasks"] = [task]
    plan = sources.plan.model_copy(update={"sources": {"validation.tasks.tools": "commit:abc:d"}})
    told = eval_results(replace(sources, recipe=Recipe.model_validate(values), plan=plan), HUB)
    (entry,) = parse_eval_result_entries(yaml.safe_load(told))
    assert (entry.dataset_id, entry.task_id, entry.dataset_revision, entry.value) == (
        "acme/bench", "tools", "abc", 90.62,
    )  # fmt: skip
    assert entry.source_url == f"{HUB}/acme/small-NVFP4/tree/{plan.release_id}/roundhouse/evidence"


def test_other_records_make_another_page(sources: Release) -> None:
    """No figure of the evaluation stands in the template: other records, other figures."""
    other = METRICS.model_copy(
        update={
            "perplexity": 77.7777,
            "mean_kl": 0.44444,
            "p99_kl": 0.55555,
            "k": 123,
            "texts": 4321,
        }
    )
    validate = sources.validate.model_copy(
        update={"metrics": other, "measures": (), "kernel": "OtherKernel", "engine": "vllm 9.9"}
    )
    page = render(replace(sources, validate=validate), HUB, KEY)
    assert all(s in page for s in ("77.7777", "0.55555", "123 likeliest", "4321", "OtherKernel"))
    assert not any(s in page for s in ("11.3437", "0.71875", "0.0312", "EmulationNvFp4", "0.32.0"))


def test_the_commands_are_shell_words(sources: Release) -> None:
    """Plain, with parsers, and text only: each command names repository, tag and context."""
    card = render(sources, HUB, KEY)
    blocks = re.findall(r"```bash\n(.*?)```", card, re.DOTALL)
    commands = [shlex.split(b.replace("\\\n", "")) for b in blocks if b.startswith("vllm")]
    plain = ["vllm", "serve", "acme/small-NVFP4", "--revision", sources.plan.release_id]
    plain += ["--max-model-len", "1024"]
    parsers = "--reasoning-parser gemma4 --tool-call-parser gemma4 --enable-auto-tool-choice"
    assert [c for c in commands if c == plain]
    assert [c for c in commands if c == plain + parsers.split()]
    assert [c for c in commands if c == [*plain, "--limit-mm-per-prompt", '{"image": 0}']]
    assert f"roundhouse release acme/base-it --revision {COMMIT}" in card


def test_a_text_model_has_no_image_command(tmp_path: Path) -> None:
    """What does not apply is not said: parsers of another family, images, an unknown licence."""
    facts = {"plan": {"architecture": "LlamaForCausalLM", "license": ""}}
    files = {"download": {"README.md": b"no metadata"}}
    sources = finish_stages(tmp_path, "acme/text-NVFP4", facts=facts, files=files)
    card = render(sources, HUB, KEY)
    assert "--limit-mm" not in card
    assert "parser" not in card
    assert "names no licence" in card
    data = parsed(card)
    assert (data.pipeline_tag, data.license) == ("text-generation", None)


def test_a_licence_of_its_own_is_copied(tmp_path: Path) -> None:
    """Name and link of a licence that the Hub has no short name for travel along."""
    named = "license: other\nlicense_name: gemma\nlicense_link: https://example.org/terms"
    files = {"download": {"README.md": BASE_CARD.replace("license: apache-2.0", named).encode()}}
    sources = finish_stages(tmp_path, "acme/n", facts={"plan": {"license": "gemma"}}, files=files)
    data = parsed(render(sources, HUB, KEY))
    assert (data.license, data.license_name) == ("other", "gemma")
    assert data.license_link == "https://example.org/terms"


HOSTILE = "x | y\n\n# Heading\n<script>alert(1)</script> **b** [l](http://evil) `c` ![i](u) ```"


def test_what_a_model_answered_stays_text(sources: Release) -> None:
    """Markup in checks, patterns and file names: no tag, no link, no further cell, no heading."""
    check = Check(name=HOSTILE, passed=True, seen=HOSTILE, required="")
    ignore = (*sources.convert.ignore, HOSTILE)
    hostile = replace(
        sources,
        validate=sources.validate.model_copy(update={"checks": (check,)}),
        convert=sources.convert.model_copy(update={"ignore": ignore}),
    )
    page = MARKDOWN.render(ModelCard(render(hostile, HUB, KEY)).text)
    plain = MARKDOWN.render(ModelCard(render(sources, HUB, KEY)).text)
    for tag in ("<script", "<strong", "<a ", "<img", "<h1", "<h2"):
        assert page.count(tag) == plain.count(tag), tag
    assert {len(row) for row in rows(render(hostile, HUB, KEY))} == {2, 3, 4, 7, 8}
    assert page.count("alert(1)") + page.count("alert&#40;1&#41;") == 3


def test_metadata_cannot_be_broken_out_of(sources: Release) -> None:
    """A line of dashes in a record stays one value of the YAML."""
    engine = "vllm\n---\nlicense: mit"
    validate = sources.validate.model_copy(update={"engine": engine})
    card = render(replace(sources, validate=validate), HUB, KEY)
    front = yaml.safe_load(card.split("\n---\n")[0].removeprefix("---\n"))
    assert front["license"] == "apache-2.0"
    assert front["model-index"][0]["results"][0]["source"]["name"].endswith(engine)


@pytest.mark.parametrize("value", ["a\nb", "a`b", "```"])
def test_a_value_that_ends_a_command_is_refused(value: str) -> None:
    """Rather no card than a command that runs something else."""
    with pytest.raises(InputError):
        word(value)


@given(st.text(max_size=60))
def test_escaped_text_renders_as_itself(value: str) -> None:
    """CommonMark renders an escaped value as the value, in a cell of a table."""
    flat = BREAKS.sub(" ", value).strip()
    flat = re.sub(r"\s+", " ", flat).strip()
    for cell in (text(value), code(value)):
        page = MARKDOWN.render(f"| a | b |\n|---|---|\n| {cell} | end |\n")
        cells = re.findall(r"<td>(.*?)</td>", page, re.DOTALL)
        assert len(cells) == 2
        assert cells[1] == "end"
        shown = re.sub(r"</?code>", "", cells[0])
        assert "<" not in shown
        assert re.sub(r"\s+", " ", unescape(shown)).strip() == flat


@pytest.mark.parametrize(
    ("count", "shown"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.00 kB"),
        (20_400_000_000, "20.40 GB"),
        (5e18, "5000.00 PB"),
    ],
)
def test_amounts_have_decimal_prefixes(count: float, shown: str) -> None:
    """Bytes as people say them."""
    assert amount(count, "B") == shown


def test_the_shape_is_read_from_the_config(sources: Release) -> None:
    """A release without config.json has no table of the shape, and a page all the same."""
    bare = ConvertRecord.model_validate(sources.convert.model_dump() | {"folder": "/nowhere"})
    assert "hidden_size" in render(sources, HUB, KEY)
    assert "hidden_size" not in render(replace(sources, convert=bare), HUB, KEY)
