"""Owns requests that have every member of an operation's message, and what policies are asked about them."""

import json
from typing import Any

from msgspec.structs import fields
from tests.support.registration.authority import ACCOUNT, REGION

from thingmint.api.wire.operation import Operation
from thingmint.api.wire.reading.binding import BODY, HEADER, PATH, PAYLOAD, QUERY, RawRequest, location_of
from thingmint.core.identifiers import Scope
from thingmint.registration.policies.authorization import Permission

SCOPE = Scope(ACCOUNT, REGION)
ARN = f"arn:aws:iot:{REGION}:{ACCOUNT}:"
CERTIFICATE, TYPE = f"{ARN}cert/{'ab' * 32}", f"{ARN}thingtype/t"
ROLE = "arn:aws:iam::123456789012:role/r"
# What members hold whose text is not a name; all others are one.
SAMPLES: dict[str, Any] = {
    "tags": [{"Key": "line", "Value": "7"}],
    "tagKeys": ["line"],
    "principal": CERTIFICATE,
    "target": CERTIFICATE,
    "resourceArn": TYPE,
    "certificateId": "ab" * 32,
    "caCertificateId": "ab" * 32,
    "roleArn": ROLE,
    "provisioningRoleArn": ROLE,
    "registrationConfig": {"roleArn": ROLE},
    "thingGroupsToAdd": ["g"],
    "thingGroupsToRemove": ["h"],
    "includeSocketInformation": "true",
    "retain": "true",
}
PRINCIPAL_HEADERS = {"x-amzn-principal", "x-amzn-iot-principal"}


def request_with_everything(operation: Operation, **members: Any) -> RawRequest:
    """Return a request that has every member of its message."""
    assert operation.request is not None
    labels: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    headers: list[tuple[bytes, bytes]] = []
    body: dict[str, Any] = {}
    for field in fields(operation.request):
        name, location = field.encode_name, location_of(field)
        value = {**SAMPLES, **members}.get(name, "sample")
        if location is PATH:
            labels[name] = str(value)
        elif location is QUERY:
            query.append((name, str(value)))
        elif location is HEADER:
            headers.append((name.encode(), (CERTIFICATE if name in PRINCIPAL_HEADERS else str(value)).encode()))
        elif location is BODY:
            body[name] = value
        else:
            assert location is PAYLOAD
    return RawRequest(labels, query, headers, json.dumps(body).encode() if body else b"")


def permissions(operation: Operation, **members: Any) -> list[Permission]:
    """Return what policies are asked about a request that has every member."""
    return [*operation.permissions(SCOPE, request_with_everything(operation, **members))]


def kinds(asked: list[Permission], action: str) -> set[str]:
    """Return the kinds of resources that policies are asked about for the action, none for ``*``."""
    resources = {each.resource for each in asked if each.action == action} - {"*"}
    assert all(resource.startswith(ARN) for resource in resources)
    return {resource.removeprefix(ARN).partition("/")[0] for resource in resources}
