"""The operator's handbook has every log event and every metric, and the messages that it explains exist."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "thingmint"
OPERATE = ROOT / "docs" / "operate"
# The levels of a page's sections; events of the level debug are for those who work on Thingmint.
SECTIONS = {
    "Errors": {"error", "exception"},
    "Warnings": {"warning"},
    "Information": {"info"},
}
LEVELS = set[str]().union(*SECTIONS.values())
# printf's and f-strings' places, as the pages write them.
ANYTHING = "…"
# The event of a loss: its family, how many, and the reason.
A_LOSS = "…: … (…)"
# Written by a function that is chosen for the line.
LEVEL_IS_CHOSEN = {"request", "recorded"}
LONG = 12
# Events whose text another function makes, by the call that logs them.
MADE_ELSEWHERE = {
    "service_log.warning(warning)": "messages, passwords and certificate ids go to the broker … without encryption: "
    "use tls: addresses, or a network that only these machines can read"
}
_PLACE = re.compile(r"%(?:\.\d+)?[sdrf]")


def text_of(node: ast.expr) -> str | None:
    """Return a text of the source with ``…`` for what is filled in, None for what is no text."""
    match node:
        case ast.Constant(value=str(value)):
            return _PLACE.sub(ANYTHING, value)
        case ast.JoinedStr(values=parts):
            return "".join(text_of(part) or ANYTHING for part in parts)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return (text_of(left) or ANYTHING) + (text_of(right) or ANYTHING)
    return None


@cache
def source() -> tuple[frozenset[tuple[str, str]], frozenset[str]]:
    """Return the level and the text of every event that the source logs, and all of its longer texts."""
    events, texts = set[tuple[str, str]](), set[str]()
    for path in sorted(SOURCE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant | ast.JoinedStr | ast.BinOp):
                text = text_of(node)
                if text is not None and len(text) > LONG:
                    texts.add(text)
            elif isinstance(node, ast.Call) and (found := logged(node, tree)):
                events.add(found)
    return frozenset(events), frozenset(texts)


def logged(call: ast.Call, module: ast.Module) -> tuple[str, str] | None:
    """Return level and text if the call logs an event."""
    if not isinstance(call.func, ast.Attribute) or call.func.attr not in LEVELS or not call.args:
        return None
    if "log" not in ast.unparse(call.func.value).lower():
        return None
    constants = {
        ast.unparse(node.target): text_of(node.value)
        for node in module.body
        if isinstance(node, ast.AnnAssign) and node.value
    }
    text = text_of(call.args[0]) or constants.get(ast.unparse(call.args[0])) or MADE_ELSEWHERE.get(ast.unparse(call))
    assert text is not None, f"{ast.unparse(call)}: the event is no text that can be read here"
    return call.func.attr, text


def fits(shown: str, event: str) -> bool:
    """Return whether the page's text is the source's, where each ``…`` stands for any text."""
    pattern = ".*".join(map(re.escape, shown.split(ANYTHING)))
    return re.fullmatch(pattern, event) is not None


def documented_events() -> dict[str, set[str]]:
    sections = re.split(r"^## ", (OPERATE / "log-events.md").read_text(), flags=re.MULTILINE)[1:]
    found: dict[str, set[str]] = {}
    for section in sections:
        cells = [line.split(" | ")[0] for line in section.splitlines() if line.startswith("| `")]
        found[re.split(r"\W", section, maxsplit=1)[0]] = {
            name for cell in cells for name in re.findall("`(.+?)`", cell)
        }
    return found


def test_every_log_event_is_in_the_handbook_at_its_level() -> None:
    documented, (events, _) = documented_events(), source()
    assert set(documented) == set(SECTIONS)
    assert len(events) > 70
    missing = [
        (level, event)
        for section, levels in SECTIONS.items()
        for level, event in sorted(events)
        # The text of a loss is made of its family and its reason, whose names are in the table of metrics.
        if level in levels and event != A_LOSS and not any(fits(shown, event) for shown in documented[section])
    ]
    assert missing == []


def test_every_log_event_of_the_handbook_exists() -> None:
    events, texts = source()
    gone = [
        shown
        for section, levels in SECTIONS.items()
        for shown in documented_events()[section]
        if not any(level in levels and fits(shown, event) for level, event in events)
        and shown.removesuffix(": … (…)") not in texts
        and shown not in LEVEL_IS_CHOSEN
    ]
    assert gone == []


def test_every_metric_has_its_line_for_operators() -> None:
    """The page of all metrics is compared with a running service by ``tests/clients/test_device_metrics.py``."""
    name = re.compile(r"`(thingmint_\w+)[`{]")
    every = set(name.findall((ROOT / "docs" / "reference" / "metrics.md").read_text()))
    assert len(every) > 40
    first_cells = [
        line.split(" | ")[0] for line in (OPERATE / "monitoring.md").read_text().splitlines() if line.startswith("| `")
    ]
    lines = [found for cell in first_cells for found in name.findall(cell)]
    assert sorted(lines) == sorted(every)


def test_every_alert_is_explained_and_exists() -> None:
    rules = (ROOT / "deploy" / "monitoring" / "alerts.yaml").read_text()
    alerts = re.findall(r"^ *- alert: (\w+)$", rules, re.MULTILINE)
    assert len(alerts) > 10
    explained = re.findall(r"`(Thingmint\w+)`", (OPERATE / "monitoring.md").read_text())
    assert sorted(explained) == sorted(alerts)


def messages_of_the_service() -> list[str]:
    """Return the headings of the page of symptoms whose message is Thingmint's own."""
    page = (OPERATE / "troubleshooting.md").read_text()
    return re.findall(r"^### `(.+)`$", page.partition("\n## Thingmint says\n")[2], re.MULTILINE)


def test_messages_that_are_explained_are_what_the_service_says() -> None:
    shown = messages_of_the_service()
    assert len(shown) > 10
    _, texts = source()
    bare = {text.replace("`", "") for text in texts}
    assert [message for message in shown if not any(fits(message, text) for text in bare)] == []


@pytest.mark.parametrize("page", sorted(OPERATE.glob("*.md")), ids=lambda page: page.name)
def test_every_page_is_in_the_list_of_the_handbook(page: Path) -> None:
    assert f"operate/{page.name}" in (ROOT / "docs" / "README.md").read_text()
