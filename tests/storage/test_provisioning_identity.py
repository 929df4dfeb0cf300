"""A database of an earlier version gets identities for the templates and claims that it has."""

from collections.abc import Iterator

import apsw
import pytest

from thingmint.storage.dialect import SQLITE
from thingmint.storage.schema import migrate, migrations
from thingmint.storage.sqlite.connection import transact

(IDENTITY,) = (each for each in migrations() if each.name == "provisioning_identity")
BEFORE = tuple(each for each in migrations() if each.version < IDENTITY.version)
UNTIL = (*BEFORE, IDENTITY)


@pytest.fixture
def connection() -> Iterator[apsw.Connection]:
    """A database as it was before."""
    opened = apsw.Connection(":memory:")
    transact(opened, "BEGIN", lambda: migrate(SQLITE, BEFORE))
    yield opened
    opened.close()


def test_claims_get_the_identity_of_their_own_template(connection: apsw.Connection) -> None:
    for name, account in (("fleet", "1"), ("fleet", "2"), ("other", "1")):
        connection.execute(
            "INSERT INTO provisioning_template (account, region, name, type, enabled, role_arn, created_at, "
            "modified_at, default_version, last_version) "
            "VALUES (?, 'r', ?, 'FLEET_PROVISIONING', 1, 'role', 0, 0, 1, 1)",
            (account, name),
        )
        connection.execute(
            "INSERT INTO claim_certificate VALUES (?, ?, 'r', ?, 9)", (f"claim of {name} in {account}", account, name)
        )
    connection.execute("INSERT INTO claim_certificate VALUES ('of none', '1', 'r', 'gone', 9)")
    connection.execute("INSERT INTO certificate_ownership VALUES ('c', '1', 'r', 9)")

    transact(connection, "BEGIN", lambda: migrate(SQLITE, UNTIL))

    found = connection.execute(
        "SELECT c.certificate_id, t.name, t.account FROM claim_certificate c "
        "JOIN provisioning_template t ON t.generation_id = c.template_generation_id ORDER BY 1"
    ).fetchall()
    assert found == [
        ("claim of fleet in 1", "fleet", "1"),
        ("claim of fleet in 2", "fleet", "2"),
        ("claim of other in 1", "other", "1"),
    ]
    used = connection.execute("SELECT request_digest, sealed_answer FROM certificate_ownership").fetchall()
    assert used == [(None, None)]
