"""What EST's clients are told of errors: statuses that HTTP knows, and a line of text."""

import pytest

from thingmint.api.wire.errors import ErrorMap, RequestTooLarge, RequestTooSlow
from thingmint.core.errors import (
    AccessDenied,
    AuthenticationMissing,
    CertificateStateRefused,
    CredentialsExpired,
    CredentialsUnknown,
    InvalidRequest,
    IssuanceImpossible,
    LimitExceeded,
    OperationUnknown,
    RegistrationFailed,
    ResourceNotFound,
    ServiceUnavailable,
    Throttled,
    UpdateConflict,
)
from thingmint.rest.est.paths import EstOperation, EstPath, parse_est_path
from thingmint.rest.est.refusals import est_error


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InvalidRequest("bad"), 400),
        (IssuanceImpossible("bad"), 400),
        (RegistrationFailed("bad"), 400),
        (AuthenticationMissing("who"), 401),
        (CredentialsUnknown("who"), 401),
        (CredentialsExpired("who"), 401),
        (AccessDenied("no"), 403),
        (CertificateStateRefused("no"), 403),
        (LimitExceeded("no"), 403),
        (OperationUnknown("where"), 404),
        (ResourceNotFound("where"), 404),
        (RequestTooSlow("slow"), 408),
        (UpdateConflict("conflict"), 409),
        (RequestTooLarge("large"), 413),
        (Throttled("later", retry_after=2.5), 429),
        (ServiceUnavailable("later"), 503),
        (ArithmeticError("secret"), 500),
    ],
)
def test_each_error_has_a_status_that_clients_understand(error: Exception, status: int) -> None:
    answer = est_error(ErrorMap().answer(error), "request-1")
    headers = dict(answer.headers)
    assert answer.status == status
    assert answer.content_type.startswith(b"text/plain")
    assert (b"www-authenticate" in headers) is (status == 401)
    assert headers.get(b"retry-after") == {429: b"3", 503: b"5"}.get(status)
    assert b"secret" not in answer.body


def test_a_text_cannot_begin_another_line() -> None:
    answer = est_error(ErrorMap().answer(InvalidRequest("a\r\nb\x1b")), "request-1")
    assert answer.body == b"a??b?\n"


@pytest.mark.parametrize(
    ("path", "operation", "template"),
    [
        (b"/.well-known/est/cacerts", EstOperation.CA_CERTIFICATES, None),
        (b"/.well-known/est/lamps/simpleenroll", EstOperation.SIMPLE_ENROLL, "lamps"),
        (b"/.well-known/est/lamps/serverkeygen", EstOperation.SERVER_KEYGEN, "lamps"),
    ],
)
def test_paths_name_operations_and_templates(path: bytes, operation: EstOperation, template: str | None) -> None:
    found = parse_est_path(path)
    assert isinstance(found, EstPath)
    assert (found.operation, found.template) == (operation, template)


@pytest.mark.parametrize(
    "path",
    [
        b"/",
        b"/.well-known/est",
        b"/.well-known/est/",
        b"/.well-known/est/fullcmc",
        b"/.well-known/est/a/b/cacerts",
        # RFC 7030, 3.2.2: a label is not the name of an operation.
        b"/.well-known/est/cacerts/simpleenroll",
        b"/.well-known/est/fullcmc/simpleenroll",
        b"/.well-known/est/a%20b/cacerts",
        b"/.well-known/est/\xc3\xa9/cacerts",
        b"/.well-known/est/cacerts/",
        b"/.well-known/est/cacerts\n",
    ],
)
def test_other_paths_name_nothing(path: bytes) -> None:
    assert parse_est_path(path) is None
