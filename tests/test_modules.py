"""Every module of the service is used by the service: a rule that only its own tests know protects nobody."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src"
# What is started or imported from outside: `python -m thingmint`, the console script's module, and pytest's plug-in.
ENTRIES = ("thingmint", "thingmint.__main__", "thingmint.pytest_plugin")


def modules() -> dict[str, Path]:
    """Return the modules of the service by name; a package goes by its own."""
    found = {}
    for path in SOURCE.rglob("*.py"):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Yield the names that a module imports, each as if it were a module."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def started(path: Path) -> Iterator[str]:
    """Yield what a module starts as a process of its own, by its name in a string."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.startswith("thingmint."):
            yield node.value


def parents(name: str) -> Iterator[str]:
    """Yield the packages that an import of the module imports, too."""
    while "." in name:
        name = name.rpartition(".")[0]
        yield name


def test_every_module_is_reached_from_where_the_service_begins() -> None:
    every = modules()
    reached: set[str] = set()
    waiting = list(ENTRIES)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            used = {*imported(every[name]), *started(every[name]), *parents(name)}
            waiting += used & every.keys()
    assert sorted(every.keys() - reached) == []
    assert len(every) > 300


def test_every_package_has_a_module() -> None:
    every = modules()
    packages = {name for name, path in every.items() if path.name == "__init__.py"}
    assert [name for name in packages if not any(other.startswith(f"{name}.") for other in every)] == []
