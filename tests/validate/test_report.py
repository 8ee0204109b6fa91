"""The evidence: its verdict, its limits, its page."""

import html.parser
import json
from pathlib import Path

import pytest

from tasks.core.errors import CheckFailed
from tasks.core.recipe import Limits
from tasks.core.records import Check, Metrics
from tasks.validate.compare import Bounds, Comparison, TextResult
from tasks.validate.evidence import Evidence, check_limits, check_size
from tasks.validate.report import as_html
from tasks.validate.validate import EVIDENCE, REPORT, publish, require_accept

LIMITS = Limits(mean_kl=0.08, perplexity_ratio=1.05, top1_agreement=0.9)
METRICS = Metrics(
    k=20, texts=2, tokens=300, base_perplexity=9.5, perplexity=9.8, perplexity_ratio=1.0316,
    mean_kl=0.05, p99_kl=0.7, top1_agreement=0.93,
)  # fmt: skip
BOUNDS = Bounds(mean_kl=0.07, perplexity_ratio=1.045, top1_agreement=0.91)
TEXTS = tuple(
    TextResult(tokens=150, mean_kl=kl, base_loss=2.0, loss=2.0 + kl, top1_agreement=0.93)
    for kl in (0.04, 0.06)
)
HELD = Check(name="chat", passed=True, seen="Tokyo", required="Tokyo")


def evidence(*checks: Check) -> Evidence:
    return Evidence(
        base="acme/base", candidate="demo-1", engine="vllm 0.32.0",
        kernel="CutlassNvFp4LinearKernel", numerics="W4A4 native", checks=checks, metrics=METRICS,
        bounds=BOUNDS, texts=TEXTS, seconds={"base": 12.0},
    )  # fmt: skip


class Page(html.parser.HTMLParser):
    """Tags and addresses of a page, and its visible text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note a tag, and what it would fetch."""
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in {"src", "href"}]

    def handle_data(self, data: str) -> None:
        """Note visible text."""
        self.text += data


@pytest.mark.parametrize(
    ("worse", "failing"),
    [
        ({"mean_kl": 0.081}, "mean KL"),
        ({"perplexity_ratio": 1.051}, "perplexity ratio"),
        ({"top1_agreement": 0.899}, "top-1 agreement"),
    ],
)
def test_a_limit_holds_only_if_its_bound_does(worse: dict[str, float], failing: str) -> None:
    """A metric within its limit is not enough: what chance may explain does not pass."""
    good = check_limits(Comparison(METRICS, BOUNDS, TEXTS), LIMITS)
    assert all(check.passed for check in good)
    checks = check_limits(Comparison(METRICS, BOUNDS.model_copy(update=worse), TEXTS), LIMITS)
    assert [check.name for check in checks if not check.passed] == [failing]


def test_a_large_release_fails() -> None:
    """The size check compares bytes with the recipe's share."""
    assert check_size(500, 1000, LIMITS).passed
    assert not check_size(501, 1000, LIMITS).passed


def test_no_verdict_without_a_comparison() -> None:
    """Checks that hold do not make an ACCEPT where base and candidate were not compared."""
    unserved = Evidence(base="b", candidate="c", checks=(HELD,), seconds={})
    assert evidence(HELD).verdict == "ACCEPT"
    assert unserved.verdict == "REGRESSION"


def test_the_page_is_whole_and_harmless() -> None:
    """Whatever a model says is shown as text; the page runs no script and fetches nothing."""
    said = '<script>alert(1)</script><img src=x onerror=alert(2)> & "more"'
    page = Page(as_html(evidence(HELD, Check(name=said, passed=False, seen=said, required=said))))
    assert page.text.count(said) == 6
    assert page.text.index("REGRESSION") < page.text.index("Base against candidate")
    assert {"svg", "rect", "circle"} <= set(page.tags)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.fetched == []


def test_a_refusal_names_what_failed_and_by_how_much(tmp_path: Path) -> None:
    """The error carries each failed check, and both evidence files lie where it says."""
    bad = Check(name="mean KL", passed=False, seen="0.31000", required="at most 0.08")
    found = evidence(HELD, bad)
    publish(found, tmp_path)
    with pytest.raises(CheckFailed) as caught:
        require_accept(found, tmp_path)
    assert "mean KL: 0.31000" in caught.value.found
    assert "mean KL: at most 0.08" in caught.value.expected
    assert "chat" not in str(caught.value)
    assert str(tmp_path / REPORT) in caught.value.remedy
    told = json.loads((tmp_path / EVIDENCE).read_text())
    assert told["verdict"] == "REGRESSION"
    assert told["texts"][1]["mean_kl"] == 0.06
    require_accept(evidence(HELD), tmp_path)
