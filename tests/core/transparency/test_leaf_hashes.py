"""Hashes of many leaves: equal to those of single leaves, for each entry that the audit trail can have."""

import json
from collections.abc import Sequence
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.transparency import leaf_hashes as leaf_hashes_module
from thingmint.core.transparency.leaf import FACTS, LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.leaf_hashes import SEPARATOR, BareEntry, EntryUnreadable, LeafHashes
from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.merkle import leaf_hash
from thingmint.core.transparency.replay import Present, Replay

SECRET = bytes(range(32))
ID, OTHER_ID = "ab" * 32, "cd" * 32
ARN = f"arn:aws:iot:eu-west-1:111111111111:cert/{ID}"
ISSUED = f'{{"status":"ACTIVE","issuer_id":"{OTHER_ID}","serial_number":"1f"}}'
ENTRY = LoggedEntry(
    position=7,
    at=1_700_000_000_000_000,
    account="111111111111",
    region="eu-west-1",
    principal_arn="arn:aws:iam::111111111111:user/Größe",
    source_address="192.0.2.1",
    request_id="8c2ab6d1-0000-4000-8000-000000000000",
    action="CreateCertificateFromCsr",
    resource=ARN,
    detail=ISSUED,
)


def bare(entry: LoggedEntry) -> BareEntry:
    heading = SEPARATOR.join((entry.account, entry.region, entry.source_address, entry.action))
    return (
        entry.position,
        entry.at,
        heading,
        entry.principal_arn,
        entry.request_id,
        entry.resource,
        entry.detail,
    )


def leaf(entry: LoggedEntry) -> bytes:
    return leaf_of(entry, salt_of(SECRET, entry.position))


def require_equal(entries: Sequence[LoggedEntry]) -> None:
    """Compare hashes, and what a registry must hold according to the leaves."""
    one_by_one, at_once = Replay(), Replay()
    for index, entry in enumerate(entries):
        one_by_one.apply(index, leaf(entry))
    hashes, changes = LeafHashes(SECRET).of(map(bare, entries))
    at_once.apply_all(count(), changes)
    assert hashes == [leaf_hash(leaf(entry)) for entry in entries]
    assert at_once.reactivations == one_by_one.reactivations
    rows = [Present(Subject("111111111111", "eu-west-1", f"cert/{ID}"), "?", "?", "?", ID)]
    assert [list(at_once.compare(row)) for row in rows] == [list(one_by_one.compare(row)) for row in rows]
    assert list(at_once.missing()) == list(one_by_one.missing())


TEXTS = st.text() | st.sampled_from(["", '"', "\\", "\n", "ü", "\x7f", "\ud800", "cert/" + ID])
PLAIN_TEXTS = st.text(st.characters(exclude_characters=SEPARATOR))
STATUSES = st.sampled_from(["ACTIVE", "INACTIVE", "REVOKED", "PENDING_TRANSFER", "a b", ""])
RESOURCES = (
    st.sampled_from([ARN, ARN.replace(":cert/", ":cacert/"), ARN.upper(), ARN[:-1], ARN + "0", ARN[:-1] + "g"])
    | st.sampled_from([f"arn:aws:iot:eu-west-1:111111111111:thing/cert/{ID}", f"{ID}", f"/{ID}", "a-task"])
    | st.builds(lambda region: f"arn:aws:iot:{region}:111111111111:cert/{ID}", TEXTS)
    | TEXTS
)
VALUES = st.from_regex(r"\A[A-Za-z0-9_.:-]{0,40}\Z") | st.text() | st.integers() | st.none()
DETAILS = (
    st.builds(lambda status: ISSUED.replace("ACTIVE", status), STATUSES)
    | st.builds(lambda status: json.dumps({"status": status}, separators=(",", ":")), STATUSES)
    | st.dictionaries(st.sampled_from([*FACTS, "thing"]), VALUES | STATUSES).map(json.dumps)
    | st.dictionaries(st.sampled_from(FACTS), st.from_regex(r"\A[A-Za-z0-9_.:-]{0,9}\Z")).map(
        lambda facts: json.dumps(facts, separators=(",", ":"))
    )
    | st.sampled_from(["", "{", "[]", '{"status":"ACTIVE","status":"REVOKED"}', ISSUED + " ", ISSUED + "\n"])
    | TEXTS
)
ACTIONS = st.sampled_from(
    ["CreateCertificateFromCsr", "UpdateCertificate", "DeleteCertificate", "AcceptCertificateTransfer", "ü"]
)
ACCOUNTS = st.sampled_from(["111111111111", "222222222222"]) | PLAIN_TEXTS
ENTRIES = st.builds(
    LoggedEntry,
    st.integers(1, 2**63 - 1),
    st.integers(0, 2**62),
    ACCOUNTS,
    st.just("eu-west-1") | PLAIN_TEXTS,
    TEXTS,
    PLAIN_TEXTS,
    TEXTS,
    ACTIONS,
    RESOURCES,
    DETAILS,
)


@given(st.lists(ENTRIES, max_size=12))
def test_many_leaves_have_the_hashes_and_statuses_of_single_ones(entries: list[LoggedEntry]) -> None:
    require_equal(entries)


def test_a_resource_that_only_resembles_a_certificate_s_arn_is_none() -> None:
    require_equal(
        [ENTRY, *(ENTRY._replace(resource=resource) for resource in (ARN[:-1] + "g", ARN.upper(), ARN + "0"))]
    )


def test_leaves_without_a_status_change_nothing() -> None:
    require_equal([ENTRY, *(ENTRY._replace(detail=detail) for detail in ("{}", '{"thing":"lamp"}', "[]", ""))])


def test_a_full_cache_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaf_hashes_module, "_MOST_KEPT", 2)
    long_detail = json.dumps({"status": "ACTIVE", "thing": "x" * 300})
    entries = [
        ENTRY._replace(position=number, account=f"{number % 5:012}", detail=detail, resource=f"{ARN}{number % 3}")
        for number, detail in enumerate([*(f'{{"status":"S{each}"}}' for each in range(9)), long_detail] * 3)
    ]
    require_equal(entries)


def test_a_transfer_moves_the_certificate_to_the_other_account() -> None:
    parties = {"source_account": "111111111111", "target_account": "222222222222"}
    detail = json.dumps({"status": "INACTIVE", **parties}, separators=(",", ":"))
    accepted = [
        ENTRY._replace(account=account, action="AcceptCertificateTransfer", detail=detail)
        for account in ("111111111111", "222222222222")
    ]
    require_equal([ENTRY, *accepted])
    _, changes = LeafHashes(SECRET).of(map(bare, [ENTRY, *accepted]))
    replay = Replay()
    replay.apply_all(count(), changes)
    assert replay.knows(Subject("222222222222", "eu-west-1", f"cert/{ID}"))
    assert not replay.knows(Subject("111111111111", "eu-west-1", f"cert/{ID}"))


@pytest.mark.parametrize(
    "changed",
    [
        {2: "no heading"},
        {2: SEPARATOR.join(["a"] * 5)},
        {3: b"bytes"},
        {4: None},
        {5: b"bytes"},
        {6: b"bytes"},
        {6: 5},
        {0: -1},
        {0: 2**64},
    ],
    ids=str,
)
def test_values_that_the_service_never_writes_are_an_error(changed: dict[int, object]) -> None:
    row: list[object] = list(bare(ENTRY))
    for at, value in changed.items():
        row[at] = value
    with pytest.raises(EntryUnreadable, match="never writes"):
        LeafHashes(SECRET).of([tuple(row)])  # type: ignore[list-item]  # the wrong types are the subject
