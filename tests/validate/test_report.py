"""The evidence: its verdict, its limits, its page."""

import html.parser
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.core.errors import CheckFailed
from tasks.core.gate_records import Check
from tasks.validate.assess import EVIDENCE, REPORT, publish
from tasks.validate.evidence import Evidence, check_size
from tasks.validate.report import as_html
from tasks.validate.validate import facts, require_passed
from tests.validate.evidences import CONTEXT, HELD, LIMITS, evidence

ROOT = Path(__file__).parents[2]


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
    bad = Check(name=said, passed=False, seen=said, required=said)
    told = evidence(HELD, bad).model_copy(
        update={"contexts": (CONTEXT.model_copy(update={"before": said}),)}
    )
    page = Page(as_html(told))
    assert page.text.count(said) == 7
    assert page.text.index("REGRESSION") < page.text.index("Base against candidate")
    assert {"svg", "rect", "circle"} <= set(page.tags)
    assert not {"script", "img", "link", "iframe"} & set(page.tags)
    assert page.fetched == []


@pytest.mark.parametrize(
    ("kl", "verdict", "why"),
    [
        (0.05, "ACCEPT", "every measure keeps its limit"),
        (0.078, "REGRESSION", "KL beyond the control"),
        (0.3, "REGRESSION", "mean KL is shown to break its limit"),
    ],
)
def test_the_page_says_why(kl: float, verdict: str, why: str) -> None:
    """Verdict, its reason in words, and the scale of the damage stand on the page."""
    found = evidence(kl=kl)
    text = " ".join(Page(as_html(found)).text.split())
    assert found.verdict == verdict
    assert text.index(verdict) < text.index(why)
    assert "rounded to nearest: 0.06000" in text
    assert "50% is there with 4-bit weights alone" in text
    assert "Tokyo" in text


def test_doubt_is_its_own_verdict() -> None:
    """Bounds that enclose a limit are INCONCLUSIVE; an engine that differs is ANOMALOUS."""
    open_ = evidence(kl=0.08, control=0.1)
    assert open_.verdict == "INCONCLUSIVE"
    assert "cannot be told from its limit" in Page(as_html(open_)).text
    odd = evidence().model_copy(update={"anomalies": ("the base differs from itself",)})
    assert odd.verdict == "ANOMALOUS"
    assert "the base differs from itself" in Page(as_html(odd)).text


def test_the_same_evidence_gives_the_same_bytes(tmp_path: Path) -> None:
    """JSON and page follow from what was measured alone, and the page from the JSON alone."""
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
        publish(evidence(), folder)
    for name in (EVIDENCE, REPORT):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes()
    told = json.loads((folders[0] / EVIDENCE).read_bytes())
    del told["verdict"]
    assert as_html(Evidence.model_validate(told)) == (folders[0] / REPORT).read_text()


def test_another_process_judges_alike(tmp_path: Path) -> None:
    """Judged anew from the same measurements, in processes that hash otherwise: the same bytes."""
    code = (
        "import sys; from pathlib import Path; from tests.validate.evidences import evidence; "
        "from tasks.validate.assess import publish; publish(evidence(), Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):
        (tmp_path / seed).mkdir()
        env = {"PYTHONHASHSEED": seed, "PATH": "", "PYTHONPATH": str(ROOT)}
        subprocess.run([sys.executable, "-c", code, str(tmp_path / seed)], env=env, check=True)
    for name in (EVIDENCE, REPORT):
        assert (tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes()


def test_a_refusal_names_what_failed_and_by_how_much(tmp_path: Path) -> None:
    """The error carries each failed check and measure, and the evidence lies where it says."""
    bad = Check(name="canary: chat", passed=False, seen="Kyoto", required="Tokyo")
    found = evidence(HELD, bad, kl=0.3)
    publish(found, tmp_path)
    with pytest.raises(CheckFailed) as caught:
        require_passed(found, tmp_path)
    assert "canary: chat: Kyoto" in caught.value.found
    assert "mean KL: at most 0.08" in caught.value.expected
    assert str(tmp_path / REPORT) in caught.value.remedy
    require_passed(evidence(), tmp_path)


def test_the_record_has_every_check() -> None:
    """Checks without chance and measures with bounds stand side by side in the record."""
    found = evidence()
    checks = facts(found)["checks"]
    assert isinstance(checks, tuple)
    assert [check.name for check in checks] == ["chat", *(m.name for m in found.measures)]
    assert all(check.passed for check in checks)
