"""Owns the operation GetCallerIdentity of AWS's Security Token Service, in AWS's query protocol.

Terraform and the AWS CLI call it to learn their identity. It is at the path ``/``, which no operation of AWS IoT has.
Requests in other protocols go to the other application.
https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
"""

from functools import partial
from html import escape
from typing import Final
from urllib.parse import parse_qsl

from thingmint.api.wire.errors import ErrorAnswer
from thingmint.core.errors import InvalidRequest, OperationUnknown
from thingmint.registration.policies.authorization import user_id
from thingmint.rest.answering import Answering, Record
from thingmint.rest.answers import Answer
from thingmint.rest.asgi import Authenticator
from thingmint.rest.asgi_messages import ASGIApplication, HTTPScope, Receive, Send
from thingmint.rest.body import BodyLimits, BodyReader
from thingmint.rest.sigv4.signature import HttpRequest

PREFIX: Final = b"/"
_OPERATION: Final = "GetCallerIdentity"
_VERSION: Final = "2011-06-15"
_NAMESPACE: Final = f"https://sts.amazonaws.com/doc/{_VERSION}/"
_XML: Final = b"text/xml"
_FORM: Final = b"application/x-www-form-urlencoded"
_SIGNED_FOR: Final = frozenset({"sts"})
_BODY_BYTES: Final = 65_536
_FIELDS: Final = 100
# The Security Token Service has other names than AWS IoT for the same errors.
_NAMES: Final = {
    "UnrecognizedClientException": "InvalidClientTokenId",
    "InvalidSignatureException": "SignatureDoesNotMatch",
    "IncompleteSignatureException": "IncompleteSignature",
    "MissingAuthenticationTokenException": "MissingAuthenticationToken",
    "ExpiredTokenException": "ExpiredToken",
    "UnknownOperationException": "InvalidAction",
    "InvalidRequestException": "ValidationError",
    "ThrottlingException": "Throttling",
    "ServiceUnavailableException": "ServiceUnavailable",
    "InternalFailureException": "InternalFailure",
}


class SecurityTokens:
    """The ASGI application at ``/``; ``otherwise`` serves requests that are not in the query protocol."""

    def __init__(self, answering: Answering, authenticator: Authenticator, otherwise: ASGIApplication) -> None:
        """Take an `Answering` whose error form is `query_error`."""
        self._answering = answering
        self._authenticator = authenticator
        self._otherwise = otherwise
        self._bodies = BodyReader(BodyLimits(bytes_each=_BODY_BYTES))

    async def __call__(self, scope: HTTPScope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if _is_query_request(scope):
            await self._answering.answer(scope, send, partial(self._serve, scope, receive))
        else:
            await self._otherwise(scope, receive, send)

    async def _serve(self, scope: HTTPScope, receive: Receive, record: Record) -> Answer:
        headers = list(scope["headers"])
        body = await self._bodies.read(scope, receive)
        action = _action(scope["query_string"] if scope["method"] == "GET" else body)
        if action == _OPERATION:
            record.operation = _OPERATION
        request = HttpRequest(scope["method"], scope["raw_path"], scope["query_string"], headers, body)
        caller = await self._authenticator.authenticate(request, record.request_id, record.source, _SIGNED_FOR)
        record.principal = caller.principal.arn
        if action != _OPERATION:
            raise OperationUnknown(f"Of the security token service, {_OPERATION} alone is implemented by Thingmint")
        # As at AWS, the caller needs no permission.
        result = (
            f"<Arn>{escape(caller.principal.arn, quote=False)}</Arn><UserId>{user_id(caller.principal.arn)}</UserId>"
            f"<Account>{caller.account}</Account>"
        )
        text = (
            f'<GetCallerIdentityResponse xmlns="{_NAMESPACE}"><GetCallerIdentityResult>{result}'
            f"</GetCallerIdentityResult>{_metadata(record.request_id)}</GetCallerIdentityResponse>"
        )
        return Answer(200, text.encode(), _XML)


def query_error(error: ErrorAnswer, request_id: str) -> Answer:
    """Return the answer in the form of AWS's query protocol."""
    kind = "Receiver" if error.status >= 500 else "Sender"
    name = _NAMES.get(error.name, error.name)
    message = escape("".join(each if each.isprintable() else "?" for each in error.message), quote=False)
    text = (
        f'<ErrorResponse xmlns="{_NAMESPACE}"><Error><Type>{kind}</Type><Code>{name}</Code>'
        f"<Message>{message}</Message></Error><RequestId>{request_id}</RequestId></ErrorResponse>"
    )
    return Answer(error.status, text.encode(), _XML)


def _metadata(request_id: str) -> str:
    return f"<ResponseMetadata><RequestId>{request_id}</RequestId></ResponseMetadata>"


def _is_query_request(scope: HTTPScope) -> bool:
    if scope["method"] == "GET":
        return b"Action=" in scope["query_string"]
    types = [value for name, value in scope["headers"] if name == b"content-type"]
    return scope["method"] == "POST" and any(value.startswith(_FORM) for value in types)


def _action(form: bytes) -> str | None:
    try:
        fields = parse_qsl(form.decode(), keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError:
        raise InvalidRequest("The request is no form in UTF-8 of at most 100 fields") from None
    return dict(fields).get("Action")
