"""No text about an error is empty, whatever the error says: errors of a driver or of the system often say nothing."""

import ast
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "thingmint"
WORDED = {"in_words", "reason_of"}


def bare(handler: ast.ExceptHandler) -> Iterator[int]:
    """Yield the lines at which the handler's error is told by whatever it says itself."""
    name = handler.name

    def is_it(node: ast.AST) -> bool:
        return isinstance(node, ast.Name) and node.id == name

    for node in ast.walk(handler):
        match node:
            case ast.FormattedValue(value=value, conversion=-1 | 115) if is_it(value):
                # As it is, or with !s.
                yield node.lineno
            case ast.Attribute(value=value, attr="strerror") if is_it(value):
                yield node.lineno
            case ast.Call(func=ast.Name(id="str"), args=[argument]) if is_it(argument):
                yield node.lineno
            case ast.Call(
                func=ast.Attribute(attr="debug" | "info" | "warning" | "error" | "exception" | "critical"),
                args=arguments,
            ):
                yield from (argument.lineno for argument in arguments if is_it(argument))


def test_no_text_takes_an_error_at_its_own_words() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{line}"
        for path in sorted(SOURCE.rglob("*.py"))
        if "except " in path.read_text()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ExceptHandler) and node.name is not None
        for line in bare(node)
    ]
    assert found == []
