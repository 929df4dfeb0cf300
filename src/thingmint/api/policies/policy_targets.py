"""Owns the resource that the caller's policies must allow if an operation has a target or a principal.

Policies are evaluated before the request is checked, so a target that cannot be parsed stands for every resource.
"""

from thingmint.api.wire.reading.binding import RawRequest
from thingmint.core.errors import ThingmintError
from thingmint.core.identifiers import Scope
from thingmint.core.policies.target import parse_policy_target

PRINCIPAL_HEADER = "x-amzn-iot-principal"
POLICY_HEADER = "x-amzn-iot-policy"

_ANY = "*"


def target_in_body(scope: Scope, request: RawRequest) -> str:
    """Return the target in the body."""
    return _named(scope, _member(request, "target"))


def principal_in_body(scope: Scope, request: RawRequest) -> str:
    """Return the principal in the body, or every resource if the request has none."""
    return _named(scope, _member(request, "principal"))


def principal_in_header(scope: Scope, request: RawRequest) -> str:
    """Return the principal in the header."""
    wanted = PRINCIPAL_HEADER.encode()
    return _named(scope, next((value.decode("latin-1") for name, value in request.headers if name == wanted), None))


def _member(request: RawRequest, name: str) -> object:
    return request.unchecked_members.get(name)


def _named(scope: Scope, text: object) -> str:
    if not isinstance(text, str) or not text:
        return _ANY
    try:
        # One canonical spelling, so that a Deny cannot be evaded by another spelling.
        return parse_policy_target(scope, text).name
    except ThingmintError:
        return text
