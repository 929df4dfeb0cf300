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


def used_by(path: Path) -> Iterator[str]:
    """Yield what a module imports, each name as if it were a module, and, by names in strings, what it starts."""
    for node in ast.walk(ast.parse(path.read_text())):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.Constant(value=str(value)) if value.startswith("thingmint."):
                yield value


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
            used = {*used_by(every[name]), *parents(name)}
            waiting += used & every.keys()
    assert sorted(every.keys() - reached) == []
    assert len(every) > 300


def test_every_package_has_a_module() -> None:
    every = modules()
    packages = {name for name, path in every.items() if path.name == "__init__.py"}
    assert [name for name in packages if not any(other.startswith(f"{name}.") for other in every)] == []


def test_no_module_waits_in_a_way_that_loses_cancellations() -> None:
    # Before Python 3.12, `asyncio.wait_for` returns the result if both come together, and the task goes on for ever.
    users = [name for name, path in modules().items() if "asyncio.wait_for(" in path.read_text()]
    assert users == []
