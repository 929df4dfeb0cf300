"""The texts that both engines share: their parameters, and the history of the schema."""

import importlib
import pkgutil
import re

import pytest

from thingmint import records as tables
from thingmint.records import tokens
from thingmint.storage import schema
from thingmint.storage.dialect import POSTGRESQL, SQLITE, Dialect
from thingmint.storage.schema import migrations

TABLES = [
    importlib.import_module(module.name)
    for module in pkgutil.walk_packages(tables.__path__, f"{tables.__name__}.")
    if not module.ispkg
]
STATEMENTS = {
    f"{module.__name__.rpartition('.')[2]}.{name}": text
    for module in (schema, *TABLES)
    for name, text in vars(module).items()
    if isinstance(text, str) and re.match("SELECT |INSERT |UPDATE |DELETE ", text)
}


@pytest.mark.parametrize("text", STATEMENTS.values(), ids=STATEMENTS.keys())
def test_parameters_first_appear_in_the_order_of_their_numbers(text: str) -> None:
    appearances = list(dict.fromkeys(int(number) for number in re.findall(r"\$([0-9]+)", text)))
    assert appearances == list(range(1, len(appearances) + 1))


def test_lists_never_read_the_certificate_itself() -> None:
    for name in ("certificates.SUMMARIES_NEWEST_FIRST", "certificates.SUMMARIES_OLDEST_FIRST"):
        assert "der" not in re.findall(r"[a-z_]+", STATEMENTS[name])


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_no_token_is_left_in_a_translated_migration(dialect: Dialect) -> None:
    statements = [text for migration in migrations() for text in migration.statements(dialect)]
    assert statements
    assert not [text for text in statements if "{" in text or "--" in text or ";" in text]


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_each_engine_has_words_for_every_token(dialect: Dialect) -> None:
    named = {text for name, text in vars(tokens).items() if name.isupper()}
    assert {f"{{{name}}}" for name in vars(tokens) if name.isupper()} == named
    assert named <= dialect.words.keys()
    assert dialect.words.keys() == SQLITE.words.keys()
    assert not [text for text in STATEMENTS.values() if "{" in dialect.translate(text)]


def test_nothing_secret_has_a_column() -> None:
    text = "".join(migration.sql for migration in migrations())
    assert "private" not in text
    assert re.findall(r"\w*secret\w*", text) == ["sealed_secret", "sealed_secret"]
