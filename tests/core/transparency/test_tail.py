"""What leaves behind a backup tell: the last status, what was revoked once, and what no checkpoint covers."""

import json

import pytest

from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.tail import LaterState, LogTail
from thingmint.core.transparency.tiles import bundle_of, split_bundle

ID = "ab" * 32
SOURCE, TARGET = "111111111111", "222222222222"
CERTIFICATE = Subject(SOURCE, "eu-west-1", f"cert/{ID}")


def leaf(action: str, at: int, account: str = SOURCE, **facts: str) -> bytes:
    told = {"at": at, "account": account, "region": "eu-west-1", "action": action, "subject": f"cert/{ID}"}
    return json.dumps(told | {"facts": facts}, separators=(",", ":")).encode()


def after(*leaves: bytes, is_covered: bool = True) -> LogTail:
    tail = LogTail()
    for each in leaves:
        tail.apply(each, is_covered=is_covered)
    return tail


ISSUED = leaf("CreateCertificateFromCsr", 1, status="ACTIVE", serial_number="1f", issuer_id="cd")
REVOKED = leaf("UpdateCertificate", 2, status="REVOKED", previous_status="ACTIVE")
ACTIVATED = leaf("UpdateCertificate", 3, status="ACTIVE")
DELETED = leaf("DeleteCertificate", 4, status="INACTIVE")


def test_what_was_revoked_once_stays_revoked_with_its_time() -> None:
    tail = after(ISSUED, REVOKED, ACTIVATED)
    assert tail.states == {CERTIFICATE: LaterState("ACTIVE", True, 2, "1f", "cd")}


def test_a_deleted_certificate_has_no_status() -> None:
    assert after(DELETED).states == {CERTIFICATE: LaterState(None, False, 4, None, None)}
    of_revoked = leaf("DeleteCertificate", 5, status="REVOKED", serial_number="2")
    assert after(of_revoked).states == {CERTIFICATE: LaterState(None, True, 5, "2", None)}


def test_leaves_that_nothing_covers_give_no_right() -> None:
    tail = after(REVOKED, is_covered=True)
    tail.apply(ACTIVATED, is_covered=False)
    assert (tail.states[CERTIFICATE].status, tail.not_believed) == ("REVOKED", 1)
    assert after(REVOKED, is_covered=False).states[CERTIFICATE].was_revoked


def test_leaves_that_nothing_covers_tell_that_a_certificate_may_exist() -> None:
    (state,) = after(ISSUED, ACTIVATED, is_covered=False).states.values()
    assert state == LaterState("ACTIVE", False, 3, "1f", "cd", is_believed=False)
    (state,) = after(ISSUED, DELETED, is_covered=False).states.values()
    assert (state.status, state.is_believed) == (None, True)


def test_issuers_are_named() -> None:
    other = leaf("CreateIssuer", 1, issuer_id="ef").replace(f"cert/{ID}".encode(), b"")
    assert after(ISSUED, other, leaf("AttachPolicy", 2)).issuer_ids == {"cd", "ef", ""}


def test_other_actions_are_counted() -> None:
    tail = after(leaf("CreateThing", 1), leaf("CreateThing", 2), leaf("AttachPolicy", 3))
    assert tail.other_actions == {"CreateThing": 2, "AttachPolicy": 1}


def test_a_transfer_takes_a_certificate_to_the_other_account() -> None:
    facts = {"source_account": SOURCE, "target_account": TARGET, "status": "INACTIVE"}
    offered = [leaf("TransferCertificate", 1, account, **facts) for account in (SOURCE, TARGET)]
    accepted = [leaf("AcceptCertificateTransfer", 2, account, **facts) for account in (SOURCE, TARGET)]
    states = after(*offered, *accepted).states
    assert {subject.account: state.status for subject, state in states.items()} == {SOURCE: None, TARGET: "INACTIVE"}
    assert set(after(*offered).states) == {CERTIFICATE}


@pytest.mark.parametrize("entries", [[], [b""], [b"one", b"", b"x" * 300]])
def test_a_bundle_is_split_into_its_entries(entries: list[bytes]) -> None:
    assert split_bundle(bundle_of(entries)) == entries


@pytest.mark.parametrize("spoilt", [b"\0", b"\0\2a", b"\0\1ab"])
def test_a_bundle_that_ends_inside_of_an_entry_is_none(spoilt: bytes) -> None:
    with pytest.raises(ValueError, match="ends inside"):
        split_bundle(spoilt)
