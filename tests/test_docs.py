"""The programs in docs/ run as they stand there, and print what stands below them."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
PROGRAM = re.compile(r"^```python\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.MULTILINE | re.DOTALL)

PROGRAMS = [
    pytest.param(*found.groups(), id=f"{page.stem}-{number}")
    for page in sorted(DOCS.glob("*.md"))
    for number, found in enumerate(PROGRAM.finditer(page.read_text()), 1)
]


@pytest.mark.parametrize(("program", "output"), PROGRAMS)
def test_a_program_prints_what_the_page_says(run_script, program, output):
    done = run_script(program)
    assert (done.returncode, done.stderr) == (0, "")
    if output is not None:
        assert done.stdout == output
