"""Owns which resource the policies of a caller are asked about where an operation names a target or a principal.

Policies are asked before the request is checked, so what cannot be read names every resource.
"""

from thingmint.api.wire.binding import RawRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.policies.target import parse_policy_target

PRINCIPAL_HEADER = "x-amzn-iot-principal"
POLICY_HEADER = "x-amzn-iot-policy"

_ANY = "*"


def target_in_body(scope: Scope, request: RawRequest) -> str:
    """Name the target of the body."""
    return _named(scope, _member(request, "target"))


def principal_in_body(scope: Scope, request: RawRequest) -> str:
    """Name the principal of the body, or every resource where the request has none."""
    return _named(scope, _member(request, "principal"))


def principal_in_header(scope: Scope, request: RawRequest) -> str:
    """Name the principal of the header."""
    wanted = PRINCIPAL_HEADER.encode()
    return _named(scope, next((value.decode("latin-1") for name, value in request.headers if name == wanted), None))


def _member(request: RawRequest, name: str) -> object:
    return request.unchecked_members.get(name)


def _named(scope: Scope, text: object) -> str:
    if not isinstance(text, str) or not text:
        return _ANY
    try:
        # One spelling: no other escapes a Deny.
        return parse_policy_target(scope, text).name
    except ThingmintError:
        return text
