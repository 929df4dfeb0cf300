"""Leaves: their bytes, what they tell everybody, and what they tell only those who have the entry."""

import hashlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.transparency.leaf import FACTS, SALT_BYTES, LoggedEntry, leaf_of, salt_of

SALT = bytes(range(SALT_BYTES))
ENTRY = LoggedEntry(
    position=7,
    at=1_700_000_000_000_000,
    account="123456789012",
    region="eu-west-1",
    principal_arn="arn:aws:iam::123456789012:user/Größe",
    source_address="192.0.2.1",
    request_id="8c2ab6d1-0000-4000-8000-000000000000",
    action="CreateCertificateFromCsr",
    resource="arn:aws:iot:eu-west-1:123456789012:cert/" + "ab" * 32,
    detail='{"status":"ACTIVE","issuer_id":"cdcd","serial_number":"1f"}',
)


def private_digest(entry: LoggedEntry, salt: bytes) -> str:
    """The digest as the documentation defines it."""
    hidden = [entry.principal_arn, entry.source_address, entry.request_id, entry.resource, entry.detail]
    return hashlib.sha256(salt + json.dumps(hidden, separators=(",", ":")).encode()).hexdigest()


def test_the_bytes_of_a_leaf_are_those_of_the_documentation() -> None:
    assert leaf_of(ENTRY, SALT).decode() == (
        '{"v":1,"at":1700000000000000,"account":"123456789012","region":"eu-west-1",'
        f'"action":"CreateCertificateFromCsr","subject":"cert/{"ab" * 32}",'
        '"facts":{"status":"ACTIVE","issuer_id":"cdcd","serial_number":"1f"},'
        f'"private":"{private_digest(ENTRY, SALT)}"}}'
    )


def test_names_of_things_and_callers_are_in_no_leaf() -> None:
    secret = ENTRY._replace(
        action="RegisterThing",
        resource="arn:aws:iot:eu-west-1:123456789012:thing/Lampe",
        detail=json.dumps({"certificate_id": "ef" * 32, "status": "ACTIVE", "thing": "Lampe", "policies": "Licht"}),
    )
    leaf = json.loads(leaf_of(secret, SALT))
    assert leaf["facts"] == {"certificate_id": "ef" * 32, "status": "ACTIVE"}
    assert leaf["subject"] == ""
    assert not any(word.encode() in leaf_of(secret, SALT) for word in ("Lampe", "Licht", "user", "192.0.2.1"))


def test_a_fact_of_any_other_form_is_private() -> None:
    entry = ENTRY._replace(detail=json.dumps({"status": "a b", "version": "1" * 129, "mode": 5, "issuer_id": "ü"}))
    assert json.loads(leaf_of(entry, SALT))["facts"] == {}


@pytest.mark.parametrize("detail", ["", "{", "[]", "null", "[" * 100_000, '"status"'])
def test_a_detail_that_is_no_object_has_no_facts(detail: str) -> None:
    leaf = json.loads(leaf_of(ENTRY._replace(detail=detail), SALT))
    assert leaf["facts"] == {}
    assert leaf["private"] == private_digest(ENTRY._replace(detail=detail), SALT)


@pytest.mark.parametrize("field", [name for name in LoggedEntry._fields if name != "position"])
def test_every_field_of_an_entry_changes_its_leaf(field: str) -> None:
    changed: Any = 1 if field == "at" else f"{getattr(ENTRY, field)} "
    assert leaf_of(ENTRY._replace(**{field: changed}), SALT) != leaf_of(ENTRY, SALT)


@pytest.mark.parametrize(
    ("resource", "subject"),
    [
        ("arn:aws:iot:eu-west-1:123456789012:cacert/" + "0" * 64, "cacert/" + "0" * 64),
        ("arn:aws-cn:iot:cn-north-1:123456789012:cert/" + "f" * 64, "cert/" + "f" * 64),
        ("arn:aws:iot:eu-west-1:123456789012:cert/" + "0" * 63, ""),
        ("arn:aws:iot:eu-west-1:123456789012:policy/cert/" + "0" * 64, ""),
        ("a-task", ""),
    ],
)
def test_the_subject_is_a_certificate(resource: str, subject: str) -> None:
    assert json.loads(leaf_of(ENTRY._replace(resource=resource), SALT))["subject"] == subject


def test_salts_differ_by_position_and_by_secret() -> None:
    salts = {salt_of(secret, position) for secret in (bytes(32), b"1" * 32) for position in (1, 2, 2**63 - 1)}
    assert len(salts) == 6
    assert all(len(salt) == SALT_BYTES for salt in salts)


@given(st.dictionaries(st.sampled_from(FACTS), st.from_regex(r"\A[A-Za-z0-9_.:-]{0,128}\Z")))
def test_details_of_facts_only_are_told_as_they_are(detail: dict[str, str]) -> None:
    text = json.dumps(detail, separators=(",", ":"))
    assert json.loads(leaf_of(ENTRY._replace(detail=text), SALT))["facts"] == detail


@given(st.builds(LoggedEntry, st.just(1), st.integers(0, 2**62), *[st.text()] * 8))
def test_every_entry_has_a_leaf_of_ascii_json(entry: LoggedEntry) -> None:
    leaf = json.loads(leaf_of(entry, SALT).decode("ascii"))
    assert (leaf["account"], leaf["region"], leaf["action"]) == (entry.account, entry.region, entry.action)
    assert leaf["private"] == private_digest(entry, SALT)
