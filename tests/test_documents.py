"""The documents are whole: what they name exists, and each of them can be found."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
# A test in back quotes, with or without its name, or a folder of tests.
TEST = re.compile(r"`(tests/[\w/.]*)(?:::(\w+))?`")
# A file of the source, the tests or the tools, by its whole path.
FILE = re.compile(r"(?<![\w/])((?:src|tests|tools|docs)/[\w./-]+\.(?:py|md))\b")
CODE = sorted(
    path
    for folder in ("src", "tests", "tools", "bench")
    for path in (ROOT / folder).rglob("*.py")
    if "node_modules" not in path.parts
)
LINK = re.compile(r"\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def anchors(path: Path) -> set[str]:
    """Return what a link may name within a document, as its renderers do it."""
    headings = (re.sub(r"[^\w\- ]", "", heading).strip().lower() for heading in HEADING.findall(path.read_text()))
    return {heading.replace(" ", "-") for heading in headings}


def test_files_that_are_named_exist() -> None:
    named = ((path, name) for path in [*DOCUMENTS, *CODE] for name in FILE.findall(path.read_text()))
    missing = sorted(f"{shown(path)}: {name}" for path, name in named if not (ROOT / name).exists())
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_tests_that_are_named_exist(document: Path) -> None:
    for path, name in TEST.findall(document.read_text()):
        assert (ROOT / path).exists(), path
        if name:
            assert f"def {name}(" in (ROOT / path).read_text(), f"{path}::{name}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=shown)
def test_links_lead_somewhere(document: Path) -> None:
    for link in LINK.findall(document.read_text()):
        if link.startswith(("https://", "http://")):
            continue
        path, _, anchor = link.partition("#")
        target = document.parent / path if path else document
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


def differences() -> list[str]:
    """Return the rows of all sections of the page, without the heads of the tables."""
    lines = (ROOT / "docs/divergences.md").read_text().splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| what | AWS |")]


def test_every_difference_from_aws_names_its_test() -> None:
    rows = differences()
    assert len(rows) > 100
    assert [row for row in rows if TEST.search(row.rpartition(" | ")[2]) is None] == []


def test_no_difference_from_aws_is_shown_by_tests_of_the_core_alone() -> None:
    """A rule of the core is a difference only if a request, a device or a file meets it in the service."""
    rows = differences()
    named = {row: [path for path, _ in TEST.findall(row.rpartition(" | ")[2])] for row in rows}
    assert [row for row, tests in named.items() if all(path.startswith("tests/core") for path in tests)] == []


def test_every_document_is_linked_from_the_list_of_documents() -> None:
    folder = ROOT / "docs"
    linked = {(folder / link.partition("#")[0]).resolve() for link in LINK.findall((folder / "README.md").read_text())}
    # Decisions are linked as a folder: their names say what they are about.
    documents = {path for path in folder.glob("**/*.md") if path.parent.name != "decisions"}
    assert {shown(path) for path in documents - linked - {folder / "README.md"}} == set()
    assert folder / "decisions" in linked


def test_numbers_of_decisions_are_given_once() -> None:
    numbers = Counter(path.name.partition("-")[0] for path in (ROOT / "docs/decisions").iterdir())
    assert [number for number, count in numbers.items() if count > 1] == []
    assert all(re.fullmatch(r"[0-9]{4}", number) for number in numbers)


def test_a_decision_that_is_referred_to_by_number_is_the_one_that_is_linked() -> None:
    for document in DOCUMENTS:
        for number, link in re.findall(r"\[decision ([0-9]+)\]\(([^)]+)\)", document.read_text()):
            assert Path(link).name.startswith(f"{int(number):04}-"), f"{shown(document)}: {number}"
