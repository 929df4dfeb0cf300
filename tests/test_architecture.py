"""The house is as ARCHITECTURE.md shows it: what the page names exists, and what is generated is up to date."""

import ast
import importlib.util
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "thingmint"
DOCUMENT = ROOT / "ARCHITECTURE.md"
# A module of the package, with or without something in it: `rest/front.py:Front.__call__`.
NAMED = re.compile(r"`((?!src/|tests/|tools/)[a-z]\w*/[\w/]+\.py)(?::([\w.]+))?`")
# What users import into their own tests is named for them.
PUBLIC = "testing"


@pytest.fixture(scope="module")
def house_map() -> ModuleType:
    specification = importlib.util.spec_from_file_location("house_map", ROOT / "tools" / "house_map.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return module


def test_generated_parts_are_up_to_date(house_map: ModuleType) -> None:
    document = DOCUMENT.read_text()
    assert house_map.with_parts(document) == document, "run `make map`"


def test_document_without_a_marker_is_not_overwritten(house_map: ModuleType) -> None:
    document = DOCUMENT.read_text().replace("<!-- end of packages -->", "")
    with pytest.raises(ValueError, match="no markers for packages"):
        house_map.with_parts(document)


def test_packages_at_the_top_and_the_imports_between_them_stay_few(house_map: ModuleType) -> None:
    arrows = house_map.arrows()
    assert sum(map(len, arrows.values())) <= 65, "`tools/house_map.py --arrows` prints them"
    assert len(list(SOURCE.glob("*/__init__.py"))) <= 20


def definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """Yield what a module or class defines; what is in classes behind a dot."""
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield prefix + name
                yield from definitions(node.body, f"{prefix}{name}.")
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield prefix + name
            case ast.AnnAssign(target=ast.Name(id=name)) | ast.Assign(targets=[ast.Name(id=name)]):
                yield prefix + name


def test_what_the_document_names_exists() -> None:
    named = NAMED.findall(DOCUMENT.read_text())
    missing = []
    for path, name in named:
        module = SOURCE / path
        defined = set(definitions(ast.parse(module.read_text()).body)) if module.exists() else None
        if defined is None or (name and name not in defined):
            missing.append(f"{path}:{name}")
    assert missing == []
    assert len(named) > 60


def test_each_class_name_is_given_once() -> None:
    places = defaultdict(list)
    for path in SOURCE.rglob("*.py"):
        if path.relative_to(SOURCE).parts[0] == PUBLIC:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(path.relative_to(SOURCE).as_posix())
    repeated = {name: sorted(where) for name, where in places.items() if len(where) > 1}
    assert repeated == {}


@pytest.mark.parametrize(
    "package", sorted(SOURCE.rglob("__init__.py")), ids=lambda path: str(path.parent.relative_to(SOURCE))
)
def test_each_package_says_in_one_sentence_what_it_owns(package: Path) -> None:
    docstring = ast.get_docstring(ast.parse(package.read_text())) or ""
    sentence = docstring.partition("\n\n")[0]
    assert sentence.endswith(".")
    assert ". " not in sentence.replace("e.g. ", "")
