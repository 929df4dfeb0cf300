"""The texts that both engines share: their parameters, and the history of the schema."""

import importlib
import pkgutil
import re
from collections.abc import Sequence

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
@pytest.mark.parametrize("dialect", [SQLITE, POSTGRESQL], ids=["sqlite", "postgresql"])
def test_parameters_first_appear_in_the_order_of_their_numbers(text: str, dialect: Dialect) -> None:
    appearances = list(dict.fromkeys(int(number) for number in re.findall(r"\$([0-9]+)", dialect.translate(text))))
    assert appearances == list(range(1, len(appearances) + 1))


def test_lists_never_read_the_certificate_itself() -> None:
    for name in ("certificates.SUMMARIES_NEWEST_FIRST", "certificates.SUMMARIES_OLDEST_FIRST"):
        assert "der" not in re.findall(r"[a-z_]+", STATEMENTS[name])


def test_migrations_are_numbered_without_gaps() -> None:
    assert [migration.version for migration in migrations()] == list(range(1, len(migrations()) + 1))


FIRST_THAT_ONLY_ADDS = 20
"""From this migration on, nodes of the version before go on while a newer node has migrated the database."""
ADDITIONS = (
    r"CREATE (\{UNLOGGED\})?TABLE (?P<made>\w+) ",
    r"CREATE INDEX \w+ ON \w+ ",
    # Replaced by indexes in another order: the version before finds the same rows without them, more slowly.
    r"DROP INDEX certificate_by_(common_name|end)$",
    # A rule about rows that the version before does not know can only be one of a table that it does not know.
    r"CREATE UNIQUE INDEX \w+ ON (?P<ruled>\w+) ",
    r"ALTER TABLE \w+ ADD COLUMN \w+ \S+( NOT NULL)?( DEFAULT \S+)?$",
    # Rows that the migration itself needs in what it has made.
    r"INSERT INTO (?P<filled>\w+) ",
)


def hindrances(statements: Sequence[str]) -> list[str]:
    """Return the statements after which a node of the version before could not go on."""
    made, refused = set[str](), []
    for statement in (" ".join(text.split()) for text in statements):
        found = next((match for each in ADDITIONS if (match := re.match(each, statement))), None)
        named = {} if found is None else found.groupdict()
        made.add(named.get("made", ""))
        is_new = (named.get("ruled") or named.get("filled") or "") in {"", *made}
        without_default = "ADD COLUMN" in statement and "NOT NULL" in statement and "DEFAULT" not in statement
        if found is None or not is_new or without_default:
            refused.append(statement)
    return refused


def test_migrations_only_add_so_that_nodes_of_the_version_before_can_go_on() -> None:
    for migration in migrations():
        if migration.version >= FIRST_THAT_ONLY_ADDS:
            assert hindrances(tuple(migration.statements(POSTGRESQL))) == [], migration.version


def test_what_would_hinder_nodes_of_the_version_before_is_found() -> None:
    fine = ("CREATE TABLE a (b TEXT)", "CREATE UNIQUE INDEX c ON a (b)", "INSERT INTO a (b) VALUES ('1')")
    assert hindrances((*fine, "CREATE INDEX d ON thing (name)", "ALTER TABLE thing ADD COLUMN e TEXT")) == []
    assert hindrances(("ALTER TABLE thing ADD COLUMN e BIGINT NOT NULL DEFAULT 0",)) == []
    refused = (
        "DROP TABLE thing",
        "ALTER TABLE thing ADD COLUMN e TEXT NOT NULL",
        "ALTER TABLE thing DROP COLUMN name",
        "ALTER TABLE thing RENAME TO other",
        "CREATE UNIQUE INDEX f ON thing (name)",
        "UPDATE thing SET name = ''",
        "DROP INDEX certificate_default",
        "DELETE FROM thing",
        "INSERT INTO thing (name) VALUES ('1')",
    )
    assert hindrances(refused) == list(refused)


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
