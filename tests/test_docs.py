"""Every example in docs/ is a program: it runs, and says what its page says it does."""

import dataclasses
import re
from pathlib import Path

import pytest

from ringpool import Stats

DOCS = Path(__file__).parents[1] / "docs"
# A block of Python, and the block of text that follows it, if one does.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def examples():
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for match in EXAMPLE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match[1], match[2], id=f"{page.name}:{line}")


@pytest.mark.skipif(not DOCS.is_dir(), reason="tests of an installed wheel: the pages are not here")
@pytest.mark.parametrize(("source", "expected"), list(examples()))
def test_an_example_runs_and_says_what_its_page_says(run_script, source, expected):
    """
    As a program of its own; a hang ends in a dump of its threads.
    """
    result = run_script(source)
    assert (result.returncode, result.stderr) == (0, "")
    if expected is not None:
        assert result.stdout == expected


@pytest.mark.skipif(not DOCS.is_dir(), reason="tests of an installed wheel: the pages are not here")
def test_every_page_has_an_example():
    """
    And no block of Python escapes the pattern.
    """
    pages = sorted(DOCS.glob("*.md"))
    assert pages
    for page in pages:
        text = page.read_text(encoding="utf-8")
        blocks = re.findall(r"^\s*```\s*python", text, re.MULTILINE | re.IGNORECASE)
        assert len(blocks) == len(EXAMPLE.findall(text)) > 0, page.name


@pytest.mark.skipif(not DOCS.is_dir(), reason="tests of an installed wheel: the pages are not here")
def test_every_number_of_the_statistics_is_explained():
    """
    In the first column of the table: a new counter needs a row.
    """
    cells = re.findall(r"^\| (`.*?) \|", (DOCS / "watching.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(cells)))
    assert {field.name for field in dataclasses.fields(Stats)} - {"accepted"} <= named
