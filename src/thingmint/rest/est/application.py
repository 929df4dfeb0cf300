"""Owns the order of the steps of an EST request: path, body, author, permission, quota, work, answer.

Independent of TLS, of policies and of the issuance of certificates.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from cryptography import x509
from msgspec import Struct

from thingmint.api.wire.calls import Calls, Sent
from thingmint.core.caller import Caller
from thingmint.core.errors import AccessDenied, InvalidRequest, OperationUnknown
from thingmint.core.identifiers import provisioning_template_arn
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    FORMAT,
    REGISTER_THING,
    TEMPLATE_NAME,
    PayloadFormat,
)
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.policies.authorization import Permission
from thingmint.registration.provisioning.enrollment import Enrollee
from thingmint.registration.provisioning.est_requests import server_keygen, simple_enroll, simple_reenroll
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi_messages import HTTPScope, Receive, Send
from thingmint.rest.body import BodyLimits, BodyReader
from thingmint.rest.est.callers import Callers, ShownCredentials
from thingmint.rest.est.paths import EstOperation, EstPath, parse_est_path
from thingmint.rest.est.payloads import (
    PKCS10,
    certificates_answer,
    csr_attributes_answer,
    decoded,
    key_and_certificate_answer,
)

# A request with an RSA key of 4096 bits and the longest accepted subject is shorter.
MOST_BODY_BYTES: Final = 32 * 1024
_CREATE_FROM_CSR: Final = "CreateCertificateFromCsr"
_PERMISSIONS: Final = {
    EstOperation.SIMPLE_ENROLL: _CREATE_FROM_CSR,
    EstOperation.SERVER_KEYGEN: "CreateKeysAndCertificate",
}
_TOPICS: Final = {
    EstOperation.SIMPLE_ENROLL: CREATE_CERTIFICATE_FROM_CSR,
    EstOperation.SERVER_KEYGEN: CREATE_KEYS_AND_CERTIFICATE,
}


class _Asked(Struct, frozen=True):
    """A request whose body has arrived."""

    path: EstPath
    credentials: ShownCredentials
    sent: Sent
    body: bytes


class EstApplication:
    """The ASGI application of EST."""

    def __init__(
        self,
        authority: RegistrationAuthority,
        callers: Callers,
        calls: Calls,
        answering: Answering,
        ca_certificates: Callable[[], Sequence[x509.Certificate]],
    ) -> None:
        """Take an `Answering` whose error form is `refusals.est_error`.

        ``ca_certificates`` returns the CA certificates that verify certificates of devices and of this server.
        """
        self._authority = authority
        self._callers = callers
        self._calls = calls
        self._answering = answering
        self._ca_certificates = ca_certificates
        self._bodies = BodyReader(BodyLimits(bytes_each=MOST_BODY_BYTES))

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        await self._answering.answer(scope, send, partial(self._serve, scope, receive))

    async def _serve(self, scope: HTTPScope, receive: Receive, record: Record) -> Answer:
        path = parse_est_path(scope["raw_path"])
        if path is None:
            raise OperationUnknown(
                "EST is below /.well-known/est/, with the name of a provisioning template or without"
            )
        operation = path.operation
        record.operation = operation.shown_as
        if scope["method"] not in operation.methods:
            record.error = "MethodNotAllowed"
            allowed = ", ".join(operation.methods)
            return Answer(405, f"Use {allowed}\n".encode(), b"text/plain", ((b"allow", allowed.encode()),))
        if operation is EstOperation.CA_CERTIFICATES:
            return certificates_answer(self._ca_certificates())
        if operation is EstOperation.CSR_ATTRIBUTES:
            return csr_attributes_answer()
        headers = list(scope["headers"])
        body = await self._bodies.read(scope, receive)
        peer = scope["state"]["peer"] if "state" in scope else None
        credentials = ShownCredentials(peer, _value(headers, b"authorization"), record.source, record.request_id)
        asked = _Asked(path, credentials, Sent(scope["scheme"], headers), body)
        return await self._certificate(asked, record)

    async def _certificate(self, asked: _Asked, record: Record) -> Answer:
        if asked.path.operation is EstOperation.SIMPLE_REENROLL:
            return await self._renewed(asked, record)
        enrollee = await self._enrollee(asked, record)
        record.principal = enrollee.caller.principal.arn
        self._admit(enrollee.caller, asked.path)
        der = _request_der(asked)
        template = asked.path.template
        if asked.path.operation is EstOperation.SIMPLE_ENROLL:
            certificate = await simple_enroll(self._authority, enrollee, der, template)
            return certificates_answer((x509.load_der_x509_certificate(certificate.der),))
        certificate, private_key = await server_keygen(self._authority, enrollee, der, template)
        issued = x509.load_der_x509_certificate(certificate.der)
        return key_and_certificate_answer(private_key, issued, f"=_{record.request_id}")

    async def _renewed(self, asked: _Asked, record: Record) -> Answer:
        """Return a certificate that renews the connection's; ignore a label, because thing and policies are kept."""
        device = await self._callers.device(asked.credentials)
        caller, certificate_id = device.enrollee.caller, device.enrollee.certificate_id
        record.principal = caller.principal.arn
        if device.enrollee.claim is not None or certificate_id is None:
            raise AccessDenied("A claim certificate is not renewed")
        self._calls.throttle.admit(caller.account, _CREATE_FROM_CSR)
        der = _request_der(asked)
        may_provision = False
        for pattern in _TOPICS.values():
            may_provision = may_provision or await device.may_publish(pattern.topic({FORMAT: PayloadFormat.JSON}))
        certificate = await simple_reenroll(self._authority, caller, certificate_id, der, may_provision=may_provision)
        return certificates_answer((x509.load_der_x509_certificate(certificate.der),))

    async def _enrollee(self, asked: _Asked, record: Record) -> Enrollee:
        """Return the author of the request if it has the permission; raise AuthenticationFailure or AccessDenied."""
        author = await self._callers.author(asked.credentials)
        operation, template = asked.path.operation, asked.path.template
        if not isinstance(author, Caller):
            record.principal = author.enrollee.caller.principal.arn
            topics = [_TOPICS[operation].topic({FORMAT: PayloadFormat.JSON})]
            if template is not None:
                topics.append(REGISTER_THING.topic({TEMPLATE_NAME: template, FORMAT: PayloadFormat.JSON}))
            await author.require_publish(topics)
            return author.enrollee
        record.principal = author.principal.arn
        needed = [Permission(f"iot:{_PERMISSIONS[operation]}", "*")]
        if template is not None:
            needed.append(Permission("iot:RegisterThing", provisioning_template_arn(author.scope, template)))
        await self._calls.require(author, needed, asked.sent)
        return Enrollee(author)

    def _admit(self, caller: Caller, path: EstPath) -> None:
        """Charge the quotas of the operations to which this request corresponds; raise Throttled."""
        self._calls.throttle.admit(caller.account, _PERMISSIONS[path.operation])
        if path.template is not None:
            self._calls.throttle.admit(caller.account, "RegisterThing")


def _request_der(asked: _Asked) -> bytes:
    content_type = _value(asked.sent.headers, b"content-type")
    if content_type is not None and content_type.partition(b";")[0].strip().lower() != PKCS10:
        raise InvalidRequest("The Content-Type must be application/pkcs10")
    return decoded(asked.body)


def _value(headers: Sequence[tuple[bytes, bytes]], name: bytes) -> bytes | None:
    return next((value for header, value in headers if header == name), None)
