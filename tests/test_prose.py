"""Texts are plain English: the phrases below have a plainer word, which the message names."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# Each phrase with what to write instead. CONTRIBUTING.md shows twelve pairs of sentences.
PLAINER = {
    r"\bwho(?:so)?ever\b": "the caller, an operator, a device, a client",
    r"\b[Ww]hatsoever\b|\b[Ww]hatever\b": "any, every, for any value of",
    r"\b[Ss]ay whether\b|\b[Tt]ell whether\b": "Return whether",
    r"\b[Tt]ake note\b": "Count, Record or Receive",
    r"\b(?:is|are) told of\b": "learns of, gets, is notified of",
    r"\bfor want of\b": "because there is no",
    r"\bin the place of\b": "instead of",
    r"\bbears?\b": "has, or can hold",
    r"\bcomes? to (?:its|an|their) end\b": "ends",
    r"\bbecomes of\b": "happens to",
}
# This page quotes the phrases. Decisions and the change log are a record of their time.
READ = [
    *sorted((ROOT / "src").rglob("*.py")),
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "SECURITY.md")),
    *sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions"),
]


@pytest.mark.parametrize("phrase", PLAINER)
def test_phrase_has_a_plainer_word(phrase: str) -> None:
    pattern = re.compile(phrase)
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in READ
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, f"write: {PLAINER[phrase]}\n" + "\n".join(found)
