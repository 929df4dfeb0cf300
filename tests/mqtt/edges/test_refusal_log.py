"""What is logged of refusals: which fields, how many lines, and what closes a minute of many."""

import tracemalloc
from dataclasses import dataclass, field
from datetime import UTC, datetime

import pytest
from tests.support.services.recorded_log import RecordedLog

from thingmint.core.identifiers import AccessKeyPrincipalId, AccountId, CertificateId, PrincipalId, Region, Scope
from thingmint.mqtt.edges import refusal_log
from thingmint.mqtt.edges.refusal_log import LINES_IN_A_WINDOW, LONGEST_FIELD, WINDOW_SECONDS, RefusalLog
from thingmint.mqtt.events import ActionRefused, ConnectRefused, Link, Refused

AT = datetime(2026, 1, 2, tzinfo=UTC)
SCOPE = Scope(AccountId("222222222222"), Region("eu-west-1"))
CERTIFICATE, OTHER = CertificateId("ab" * 32), CertificateId("cd" * 32)
PUBLISH = Refused("iot:Publish", "EXPLICIT_DENY", "topic/a", "own")


@dataclass
class Bench:
    """A log with a clock that is turned by hand."""

    written: RecordedLog = field(default_factory=RecordedLog)
    counted: list[tuple[str, str]] = field(default_factory=list)
    now: float = 1000.0

    def __post_init__(self) -> None:
        self.log = RefusalLog(self.written, self.count, lambda: self.now)

    @property
    def lines(self) -> list[tuple[str, dict[str, object]]]:
        assert all(level == "warning" for level, _, _ in self.written.lines)
        return [(event, fields) for _, event, fields in self.written.lines]

    def count(self, action: str, reason: str) -> None:
        self.counted.append((action, reason))

    def refuse(self, principal_id: PrincipalId = CERTIFICATE, refused: Refused = PUBLISH) -> None:
        self.log.action_refused(ActionRefused(Link("lamp", principal_id, "s", "192.0.2.1", SCOPE), AT, refused))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_refusal_is_one_line_with_everything_an_operator_needs(bench: Bench) -> None:
    bench.refuse()

    assert bench.lines == [
        (
            "refused",
            {
                "action": "iot:Publish",
                "reason": "EXPLICIT_DENY",
                "account": "222222222222",
                "certificate": CERTIFICATE,
                "client_id": "lamp",
                "resource": "topic/a",
                "policy": "own",
                "source": "192.0.2.1",
            },
        )
    ]
    assert bench.counted == [("iot:Publish", "EXPLICIT_DENY")]


def test_a_refused_connect_tells_what_was_found_out(bench: Bench) -> None:
    revoked = Refused("iot:Connect", "DEVICE_CERTIFICATE_REVOKED", "client/lamp")
    bench.log.connect_refused(ConnectRefused(CERTIFICATE, "192.0.2.1", AT, "why", "lamp", SCOPE, revoked))
    bench.log.connect_refused(ConnectRefused(OTHER, "192.0.2.1", AT, "in other words"))

    (_, known), (_, unknown) = bench.lines
    assert (known["reason"], known["account"], known["client_id"]) == (
        "DEVICE_CERTIFICATE_REVOKED",
        "222222222222",
        "lamp",
    )
    assert unknown == {
        "action": "iot:Connect",
        "reason": "IMPLICIT_DENY",
        "certificate": OTHER,
        "source": "192.0.2.1",
        "detail": "in other words",
    }


def test_of_many_refusals_the_first_are_logged_and_the_others_counted(bench: Bench) -> None:
    for _ in range(1000):
        bench.refuse()
    bench.refuse(OTHER)
    assert [event for event, _ in bench.lines] == ["refused"] * (LINES_IN_A_WINDOW + 1)
    assert len(bench.counted) == 1001

    bench.now += WINDOW_SECONDS - 1
    bench.log.advance()
    assert len(bench.lines) == LINES_IN_A_WINDOW + 1
    bench.now += 1
    bench.log.advance()

    # The other certificate has nothing to close with.
    assert bench.lines[LINES_IN_A_WINDOW + 1 :] == [
        ("more was refused", {"certificate": CERTIFICATE, "count": 1000 - LINES_IN_A_WINDOW})
    ]
    bench.refuse()
    assert bench.lines[-1][0] == "refused"


def test_a_refusal_after_a_minute_closes_the_minute_before(bench: Bench) -> None:
    for _ in range(LINES_IN_A_WINDOW + 3):
        bench.refuse()
    bench.now += WINDOW_SECONDS
    bench.refuse()

    assert [event for event, _ in bench.lines[-2:]] == ["more was refused", "refused"]


def test_the_end_of_the_service_closes_all(bench: Bench) -> None:
    for certificate_id in (CERTIFICATE, OTHER):
        for _ in range(LINES_IN_A_WINDOW + 1):
            bench.refuse(certificate_id)
    bench.log.close()
    bench.log.close()

    assert [fields for event, fields in bench.lines if event == "more was refused"] == [
        {"certificate": CERTIFICATE, "count": 1},
        {"certificate": OTHER, "count": 1},
    ]


def test_certificates_beyond_a_number_share_their_lines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal_log, "MAX_CERTIFICATES", 2)
    for number in range(100):
        bench.refuse(CertificateId(f"{number:064x}"))

    assert len(bench.lines) == 2 + LINES_IN_A_WINDOW
    bench.now += WINDOW_SECONDS
    bench.log.advance()
    assert bench.lines[-1] == ("more was refused", {"certificate": "others", "count": 98 - LINES_IN_A_WINDOW})


def test_all_certificates_together_have_a_number_of_lines(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refusal_log, "LINES_OF_ALL", 5)
    for number in range(20):
        bench.refuse(CertificateId(f"{number:064x}"))
    assert (len(bench.lines), len(bench.counted)) == (5, 20)

    bench.now += WINDOW_SECONDS
    bench.log.advance()
    bench.refuse()
    assert bench.lines[5] == ("more was refused", {"certificate": "others", "count": 15})
    assert bench.lines[6][0] == "refused"


def test_a_refusal_makes_no_list_of_all_certificates(bench: Bench) -> None:
    for number in range(5000):
        bench.refuse(CertificateId(f"{number:064x}"))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        bench.refuse()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    # A list would take 8 bytes for each of them, and more for what is in it.
    assert peak - before < 5000 * 8


def test_long_names_are_cut(bench: Bench) -> None:
    bench.refuse(refused=Refused("iot:Publish", "IMPLICIT_DENY", "topic/" + "x" * 65_535))

    assert len(str(bench.lines[0][1]["resource"])) == LONGEST_FIELD + 1


def test_an_access_key_is_named_as_one() -> None:
    bench, key = Bench(), AccessKeyPrincipalId("AIDAEXAMPLE:AKIAEXAMPLE")
    for _ in range(LINES_IN_A_WINDOW + 1):
        bench.refuse(key)
    bench.log.close()
    assert {fields.get("access_key") for _, fields in bench.lines} == {key}
    assert not any("certificate" in fields for _, fields in bench.lines)
