"""Every example in docs/ is a program: it runs, and says what its page says it does."""

import dataclasses
import re
from pathlib import Path

import pytest

import ringpool
from ringpool import Stats

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
pytestmark = pytest.mark.skipif(not DOCS.is_dir(), reason="tests of an installed wheel: the pages are not here")
# A block of Python, and the block of text that follows it, if one does.
EXAMPLE = re.compile(r"^```python\n(.*?)^```\n(?:\s*^```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)


def examples():
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        for match in EXAMPLE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield pytest.param(match[1], match[2], id=f"{page.name}:{line}")


@pytest.mark.parametrize(("source", "expected"), list(examples()))
def test_an_example_runs_and_says_what_its_page_says(run_script, source, expected):
    """
    As a program of its own; a hang ends in a dump of its threads.
    """
    result = run_script(source)
    assert (result.returncode, result.stderr) == (0, "")
    if expected is not None:
        assert result.stdout == expected


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


def test_every_number_of_the_statistics_is_explained():
    """
    In the first column of the table: a new counter needs a row.
    """
    cells = re.findall(r"^\| (`.*?) \|", (DOCS / "watching.md").read_text(encoding="utf-8"), re.MULTILINE)
    named = set(re.findall(r"`(\w+)`", " ".join(cells)))
    assert {field.name for field in dataclasses.fields(Stats)} - {"accepted"} <= named


@pytest.mark.parametrize("page", ["README.md", "docs/demands.md"])
def test_every_test_that_a_table_names_exists(page):
    """
    By its path under tests/.
    """
    tests = set(re.findall(r"`([\w/]+\.py)`", "\n".join(rows_of(ROOT / page))))
    assert len(tests) > 20
    assert [name for name in sorted(tests) if not (ROOT / "tests" / name).is_file()] == []


def test_every_demand_has_a_test_and_every_refusal_something_in_its_place():
    """
    Thirty-eight demands, none left out; and what is not here says why.
    """
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows_of(DOCS / "demands.md")]
    demands = [row for row in rows if len(row) == 4 and row[0][:1].isdigit()]
    assert [int(row[0].split()[0]) for row in demands] == list(range(1, 39))
    assert all(all(row) and row[3].endswith(".py`") for row in demands)
    refused = [row for row in rows if len(row) == 3 and row[0][:1].isdigit()]
    assert refused and all(all(row) for row in refused)
    pointed = {int(row[0].split()[0]) for row in demands if "(#not-here)" in row[2]}
    assert pointed <= {int(row[0].split()[0]) for row in refused}


def test_every_file_that_the_readme_links_to_exists():
    """
    Pages, pictures, the licence.
    """
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert [link for link in sorted(links_of(text)) if not (ROOT / link).is_file()] == []


def test_every_link_between_pages_leads_somewhere():
    """
    To a page that exists, and to a heading that it has; and the README leads to every page.
    """
    broken = []
    for page in sorted(DOCS.glob("*.md")):
        for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
            name, _, heading = link.partition("#")
            if "://" in link:
                continue
            target = DOCS / name if name else page
            if not target.is_file() or heading and heading not in headings_of(target):
                broken.append((page.name, link))
    assert broken == []
    linked = links_of((ROOT / "README.md").read_text(encoding="utf-8"))
    assert {f"docs/{page.name}" for page in DOCS.glob("*.md")} <= linked


def rows_of(page):
    """The lines of its tables."""
    return [line for line in page.read_text(encoding="utf-8").splitlines() if line.startswith("|")]


PROMISES = [DOCS / "faults.md", DOCS / "guarantees.md"]
TEST = re.compile(r"`([\w/]+\.py)::(\w+)`")


@pytest.mark.parametrize("page", PROMISES, ids=lambda page: page.name)
def test_every_test_that_a_page_of_promises_names_exists(page):
    """
    In the file that it names, and is a test.
    """
    named = TEST.findall(page.read_text(encoding="utf-8"))
    assert len(named) > 50
    missing = []
    for file, name in named:
        path = ROOT / "tests" / file
        found = path.is_file() and re.search(rf"^def {name}\(", path.read_text(encoding="utf-8"), re.MULTILINE)
        if not found or not name.startswith("test_"):
            missing.append(f"{file}::{name}")
    assert missing == []


def test_every_fault_and_every_promise_names_a_test():
    """
    Each of the eighty rows, each item of the promises, and each public class.
    """
    faults, guarantees = (page.read_text(encoding="utf-8") for page in PROMISES)
    rows = re.findall(r"^\| (\d+) \|(.*)$", faults, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 81))
    assert [number for number, row in rows if not TEST.search(row.rpartition(" | ")[2])] == []

    promises = re.findall(r"^- .*(?:\n  .*)*", guarantees, re.MULTILINE)
    assert len(promises) > 30
    assert [promise for promise in promises if not TEST.search(promise)] == []

    threads = re.findall(r"^\| (.*`.*) \| .* \| (.*) \|$", guarantees, re.MULTILINE)
    assert [row for row in threads if not TEST.search(row[1])] == []
    public = {name: getattr(ringpool, name) for name in ringpool.__all__}
    classes = {name for name, it in public.items() if isinstance(it, type) and not issubclass(it, BaseException)}
    assert classes <= set(re.findall(r"`(\w+)`", " ".join(classes for classes, _ in threads)))


def links_of(text):
    """Of a text, the files that it links to."""
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    return {link.partition("#")[0] for link in links if "://" not in link and not link.startswith("#")}


def headings_of(page):
    """The anchors that a page has, as they are made of its headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
