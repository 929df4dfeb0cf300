"""What the registry must hold according to the leaves, and which row does not agree."""

import json

import pytest

from thingmint.core.transparency.logged_facts import Subject
from thingmint.core.transparency.replay import Present, Replay

ID = "ab" * 32
SOURCE, TARGET = "111111111111", "222222222222"


def leaf(action: str, account: str = SOURCE, subject: str = f"cert/{ID}", **facts: str) -> bytes:
    told = {"at": 7, "account": account, "region": "eu-west-1", "action": action, "subject": subject, "facts": facts}
    return json.dumps(told, separators=(",", ":")).encode()


def row(status: str, account: str = SOURCE, **changed: str) -> Present:
    present = {"serial_number": "1f", "issuer_id": "cd", "digest": ID, "name": f"cert/{ID}"} | changed
    return Present(
        Subject(account, "eu-west-1", present["name"]),
        status,
        present["serial_number"],
        present["issuer_id"],
        present["digest"],
    )


def after(*leaves: bytes) -> Replay:
    replay = Replay()
    for index, each in enumerate(leaves):
        replay.apply(index, each)
    return replay


def findings(replay: Replay, *rows: Present) -> list[str]:
    found = [text for each in rows for text in replay.compare(each)]
    return [text.partition(": ")[2] for text in (*found, *replay.missing())]


ISSUED = leaf("CreateCertificateFromCsr", status="ACTIVE", serial_number="1f", issuer_id="cd")
REVOKED = leaf("UpdateCertificate", status="REVOKED", previous_status="ACTIVE")
TRANSFER = {"source_account": SOURCE, "target_account": TARGET}


def test_a_registry_that_followed_the_log_agrees() -> None:
    replay = after(ISSUED, leaf("AttachPolicy"), leaf("TagResource", subject="", status="ACTIVE"), REVOKED)
    assert findings(replay, row("REVOKED")) == []
    assert replay.reactivations == []


def test_a_status_that_was_changed_is_named_with_its_leaf() -> None:
    assert findings(after(ISSUED, REVOKED), row("ACTIVE")) == ["was changed: its status is ACTIVE, leaf 1 says REVOKED"]


def test_an_entry_without_a_place_counts() -> None:
    replay = after(ISSUED)
    replay.apply(None, REVOKED)
    assert findings(replay, row("ACTIVE")) == [
        "was changed: its status is ACTIVE, the entry without a leaf yet says REVOKED"
    ]


@pytest.mark.parametrize(
    ("changed", "finding"),
    [
        ({"digest": "0" * 64}, "was changed: it holds another certificate"),
        ({"serial_number": "2"}, "was changed: its serial number is 2, not 1f"),
        ({"issuer_id": "ef"}, "was changed: its issuer is ef, not cd"),
    ],
)
def test_other_changes_of_a_row_are_named(changed: dict[str, str], finding: str) -> None:
    assert findings(after(ISSUED), row("ACTIVE", **changed)) == [finding]


def test_a_row_that_was_inserted_is_named() -> None:
    assert findings(Replay(), row("ACTIVE")) == ["was inserted: no leaf of the log tells of it"]
    (unknown,) = Replay().compare(row("ACTIVE"), is_whole=False)
    assert "cannot be compared" in unknown


def test_a_row_that_was_removed_is_named() -> None:
    assert findings(after(ISSUED, REVOKED)) == ["was removed: leaf 1 says REVOKED, and no leaf its deletion"]


@pytest.mark.parametrize(("action", "kind"), [("DeleteCertificate", "cert"), ("DeleteCACertificate", "cacert")])
def test_a_deleted_certificate_is_gone(action: str, kind: str) -> None:
    name = f"{kind}/{ID}"
    replay = after(leaf("Register", subject=name, status="ACTIVE"), leaf(action, subject=name, status="ACTIVE"))
    assert findings(replay) == []
    (found,) = replay.compare(row("ACTIVE", name=name))
    table = "certificate" if kind == "cert" else "ca_certificate"
    assert found.startswith(f"{table} {ID} of account {SOURCE} in eu-west-1: was inserted")


def test_a_logged_reactivation_is_noted_and_agrees() -> None:
    replay = after(ISSUED, REVOKED, leaf("UpdateCertificate", status="ACTIVE"))
    assert findings(replay, row("ACTIVE")) == []
    (note,) = replay.reactivations
    assert note.endswith("was REVOKED, and became ACTIVE with leaf 2")


def test_a_certificate_that_is_registered_again_after_its_deletion_is_no_reactivation() -> None:
    deleted = leaf("DeleteCertificate", status="REVOKED")
    replay = after(ISSUED, REVOKED, deleted, leaf("RegisterCertificate", status="ACTIVE"))
    assert findings(replay, row("ACTIVE")) == []
    assert replay.reactivations == []


def test_a_bulk_registration_names_the_certificate_in_its_facts() -> None:
    replay = after(ISSUED, leaf("RegisterThing", subject="", certificate_id=ID, status="INACTIVE"))
    assert findings(replay, row("INACTIVE")) == []


@pytest.mark.parametrize("action", ["RejectCertificateTransfer", "CancelCertificateTransfer"])
def test_a_transfer_that_was_not_accepted_leaves_the_certificate_where_it_was(action: str) -> None:
    begun = leaf("TransferCertificate", status="PENDING_TRANSFER", **TRANSFER)
    begun_there = leaf("TransferCertificate", account=TARGET, status="PENDING_TRANSFER", **TRANSFER)
    ended = [leaf(action, account=each, status="INACTIVE", **TRANSFER) for each in (SOURCE, TARGET)]
    assert findings(after(ISSUED, begun, begun_there), row("PENDING_TRANSFER")) == []
    assert findings(after(ISSUED, begun, begun_there, *ended), row("INACTIVE")) == []


def test_an_accepted_transfer_moves_the_certificate() -> None:
    begun = [
        leaf("TransferCertificate", account=each, status="PENDING_TRANSFER", **TRANSFER) for each in (SOURCE, TARGET)
    ]
    accepted = [
        leaf("AcceptCertificateTransfer", account=each, status="INACTIVE", **TRANSFER) for each in (SOURCE, TARGET)
    ]
    replay = after(ISSUED, *begun, *accepted)
    assert findings(replay, row("INACTIVE", account=TARGET)) == []
