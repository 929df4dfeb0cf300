"""Every block of every page is typed in by a test, is data that is read here, or says why it is not run."""

import json
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.clients.tutorial import DOCS, Reader

from thingmint.settings.table import BY_NAME

ROOT = DOCS.parent
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.glob("**/*.md"), *ROOT.glob("packages/*/README.md")])
# Pages whose commands need a running service and nothing else; each is followed in a shell of its own.
BESIDE_A_SERVICE = (
    "README.md",
    "reference/settings.md",
    "reference/events.md",
    "reference/audit.md",
    "operate/access.md",
    "operate/troubleshooting.md",
    "explanation/verifiable-log.md",
    "explanation/rotation.md",
)
# Every block with commands that no test types in, as its page says it. Keep it short.
NOT_RUN = {
    ("CONTRIBUTING.md", "what runs the tests"),
    ("README.md", "the tests have installed it"),
    ("docs/explanation/keys.md", "compiles an extension for a processor of its own; `make test` builds and tests it"),
    ("docs/explanation/renewal.md", "it waits for `thingmint issuer rotate` in another terminal"),
    ("docs/how-to/aws.md", "needs an account of AWS"),
    ("docs/operate/deploy.md", "an address of the reader's network"),
    ("docs/operate/deploy.md", "it changes the machine"),
    ("docs/operate/move.md", "tests/faults/test_move.py runs these commands"),
    ("docs/operate/troubleshooting.md", "names a host of yours"),
    ("docs/reference/hsm.md", "needs a token of yours; tests/signers runs the same with SoftHSM2"),
    ("docs/reference/hsm.md", "the tests have installed it"),
    (
        "docs/reference/revocation.md",
        "needs a host name of yours; tests/clients/test_relying_parties.py runs the same on loopback addresses",
    ),
    (
        "docs/reference/revocation.md",
        "needs a host name of yours; tests/clients/test_revocation_judges.py runs the same on loopback addresses",
    ),
    ("docs/tutorials/own-ca.md", "the alternative to the block above"),
    ("docs/tutorials/sizing.md", "names a run of its own"),
    ("docs/tutorials/sizing.md", "needs a template and a claim of yours"),
    (
        "packages/thingmint-ifma/README.md",
        "compiles an extension for a processor of its own; `make test` builds and tests it",
    ),
}
COMMANDS = {"console", "python"}
# What is shown, and not typed: messages, grammars, and configurations of other programs.
SHOWN = {"text", "xml", "nginx", "yaml", "terraform", "ini", "promql"}
_BLOCK = re.compile(
    r"(?:^[ ]*<!-- not run: (?P<reason>.+?) -->\n)?^(?P<indent>[ ]*)```(?P<kind>[\w-]*)\n(?P<text>.*?)^(?P=indent)```",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True)
class Block:
    """A block of a page."""

    page: str
    kind: str
    text: str
    reason: str | None

    @property
    def is_followed(self) -> bool:
        """Whether a test types the page's commands in."""
        folder, _, name = self.page.removeprefix("docs/").rpartition("/")
        beside = {page.name: page.read_text() for page in Path(__file__).parent.glob("test_*.py")}
        followed = f'"{name}"' if folder in ("tutorials", "how-to") else f'/ "{self.page}"'
        return self.page.removeprefix("docs/") in BESIDE_A_SERVICE or any(followed in text for text in beside.values())


def blocks() -> Iterator[Block]:
    for page in PAGES:
        for found in _BLOCK.finditer(page.read_text(encoding="utf-8")):
            yield Block(str(page.relative_to(ROOT)), found["kind"], found["text"], found["reason"])


def test_every_block_is_run_or_says_why_not() -> None:
    found = list(blocks())
    assert len(found) > 100
    assert {(block.page, block.reason) for block in found if block.reason} == NOT_RUN
    kinds = COMMANDS | SHOWN | {"json", "toml"}
    assert [(block.page, block.kind, block.text[:60]) for block in found if block.kind not in kinds] == []
    # A decision shows the source as it was; its block is an example of that.
    left = [
        (block.page, block.text[:60])
        for block in found
        if block.kind in COMMANDS
        and not block.reason
        and not block.is_followed
        and not block.page.startswith("docs/decisions/")
    ]
    assert left == []


def test_every_fence_belongs_to_a_block() -> None:
    """A block that this test's pattern does not see would be run by nobody."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        fences = re.findall(r"^[ ]*```", text, re.MULTILINE)
        assert len(fences) == 2 * len(list(_BLOCK.finditer(text))), page


def test_data_in_blocks_can_be_read_and_names_settings_that_exist() -> None:
    for block in blocks():
        if block.kind == "json":
            json.loads(block.text)
        elif block.kind == "toml" and not block.page.startswith("docs/decisions/"):
            unknown = tomllib.loads(re.sub(r"^[ ]+", "", block.text, flags=re.MULTILINE)).keys() - BY_NAME.keys()
            assert unknown == set(), block.page


def test_pages_beside_a_service(reader: Reader) -> None:
    (reader.directory / "tools").symlink_to(ROOT / "tools")
    reader.serve()
    [service] = reader.services.values()
    reader.environment = {name: value for name, value in service.environment.items() if name.startswith("AWS_")}
    for page in BESIDE_A_SERVICE:
        reader.follow(DOCS / page)


@pytest.mark.parametrize("page", BESIDE_A_SERVICE)
def test_pages_beside_a_service_have_commands(page: str) -> None:
    assert any(block.page == f"docs/{page}" and block.kind in COMMANDS and not block.reason for block in blocks())
