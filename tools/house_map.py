"""Writes the parts of ARCHITECTURE.md that the source says by itself: layers, packages and decisions.

The layers are import-linter's contract in pyproject.toml. A package is described by the first sentence of its
docstring, a decision by its heading. Nothing is imported, so optional dependencies may be absent.
"""

import argparse
import ast
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "ARCHITECTURE.md"
SOURCE = ROOT / "src" / "thingmint"
_BEGIN, _END = "<!-- made by `make map`: {} -->", "<!-- end of {} -->"


def layers() -> str:
    """Return the layers from top to bottom, as import-linter enforces them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = settings["tool"]["importlinter"]["contracts"]
    (contract,) = [each for each in contracts if each["type"] == "layers" and each["containers"] == ["thingmint"]]
    names = [layer.replace(" | ", "   ") for layer in contract["layers"]]
    width = max(map(len, names))
    return "\n".join(["```text", *(f"{name:^{width}}".rstrip() for name in names), "```"])


def packages() -> str:
    """Return a list of the packages, those inside others below them, each with the first sentence of its docstring."""
    return "\n".join(_package_lines(SOURCE, depth=0))


def _package_lines(folder: Path, depth: int) -> Iterator[str]:
    for inner in sorted(path.parent for path in folder.glob("*/__init__.py")):
        name = inner.relative_to(SOURCE).as_posix()
        yield f"{'  ' * depth}- [`{name}`](src/thingmint/{name}) · {_sentence(inner / '__init__.py')}"
        yield from _package_lines(inner, depth + 1)


def _sentence(module: Path) -> str:
    docstring = ast.get_docstring(ast.parse(module.read_text())) or ""
    paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return paragraph.removeprefix("Owns ")


def decisions() -> str:
    """Return a list of the decisions in the order of their numbers."""
    rows = []
    for path in sorted((ROOT / "docs" / "decisions").glob("*.md")):
        number, _, title = path.read_text().partition("\n")[0].removeprefix("# ").partition(". ")
        rows.append(f"- {number} · [{title}](docs/decisions/{path.name})")
    return "\n".join(rows)


PARTS: Mapping[str, Callable[[], str]] = {"layers": layers, "packages": packages, "decisions": decisions}


def with_parts(document: str) -> str:
    """Return the document with each generated part as it is now; raise ValueError if its markers are missing."""
    for name, part in PARTS.items():
        begin, end = _BEGIN.format(name), _END.format(name)
        before, _, rest = document.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise ValueError(f"ARCHITECTURE.md has no markers for {name}")
        document = f"{before}{begin}\n\n{part()}\n\n{end}{after}"
    return document


def arrows() -> dict[str, set[str]]:
    """Return which packages at the top each of them imports, by name; `__init__` and `__main__` are not counted."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.glob("*/**/*.py"):
        room = path.relative_to(SOURCE).parts[0]
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("thingmint."):
                other = node.module.split(".")[1]
                if other != room:
                    found[room].add(other)
    return found


def main() -> None:
    """Write the document, or print how many packages at the top there are and what they import."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--arrows", action="store_true", help="print what each package at the top imports")
    if parser.parse_args().arrows:
        every = arrows()
        for room in sorted(path.parent.name for path in SOURCE.glob("*/__init__.py")):
            print(f"{room:16} {' '.join(sorted(every[room]))}")
        print(f"{len(list(SOURCE.glob('*/__init__.py')))} packages, {sum(map(len, every.values()))} arrows")
    else:
        DOCUMENT.write_text(with_parts(DOCUMENT.read_text()))


if __name__ == "__main__":
    main()
