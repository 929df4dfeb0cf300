"""Owns seeds: lists of operations of AWS IoT with inputs in AWS's format, which are carried out in order.

A seed is a JSON object ``{"operations": [...]}``. Each element has ``operation`` (such as ``CreateThing``), ``input``
(in the format of the AWS CLI's ``--cli-input-json``), and optionally ``account`` and ``as``, which gives the output a
name. In later inputs, ``${NAME.member}`` is replaced by that member of the output with this name.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Final

from msgspec import Struct
from msgspec.structs import FieldInfo, fields

from thingmint.api.wire.operation import Served
from thingmint.api.wire.reading.binding import BODY as IN_BODY
from thingmint.api.wire.reading.binding import Location, RawRequest, compile_object_binder, location_of
from thingmint.api.wire.reading.codec import decode_object
from thingmint.core.caller import Caller, Principal
from thingmint.core.errors import InvalidRequest, ServiceUnavailable, ThingmintError, Throttled
from thingmint.core.identifiers import AccountId, Scope, parse_account_id, user_arn
from thingmint.core.policies.language import parse_policy
from thingmint.registration.access.access_keys import ADMINISTRATOR, ADMINISTRATOR_POLICY

_REFERENCE: Final = re.compile(r"\$\{([A-Za-z0-9_]+)\.([A-Za-z0-9_.]+)\}")
_MOST_STEPS: Final = 10_000


class _WrittenStep(Struct, frozen=True, kw_only=True):
    operation: Annotated[str, IN_BODY]
    account: Annotated[str | None, IN_BODY] = None
    name: Annotated[str | None, IN_BODY] = None


_bind_step = compile_object_binder(_WrittenStep)


@dataclass(frozen=True, slots=True)
class SeedStep:
    """One operation of a seed; ``name`` is the name of its output for later steps."""

    number: int
    operation: str
    account: AccountId
    name: str | None
    given: Mapping[str, object] = field(repr=False)

    def refused(self, reason: str) -> InvalidRequest:
        """Return the refusal of the seed because of this step."""
        return InvalidRequest(f"Step {self.number} of the seed ({self.operation}): {reason}")


def read_seed(document: bytes, own: AccountId, operations: Mapping[str, Served]) -> Sequence[SeedStep]:
    """Return the steps of a seed; raise InvalidRequest, which names the first invalid step."""
    decoded = decode_object(document)
    listed = decoded.get("operations")
    if not isinstance(listed, list) or decoded.keys() != {"operations"}:
        raise InvalidRequest('A seed is an object with the one member "operations", which is a list')
    if len(listed) > _MOST_STEPS:
        raise InvalidRequest(f"A seed has at most {_MOST_STEPS} operations")
    return [_step(number, each, own, operations) for number, each in enumerate(listed, 1)]


def _step(number: int, element: object, own: AccountId, operations: Mapping[str, Served]) -> SeedStep:
    if not isinstance(element, dict):
        raise InvalidRequest(f"Step {number} of the seed is no object")
    members = {"name" if name == "as" else name: value for name, value in element.items() if name != "input"}
    bound = _bind_step(members)
    given = element.get("input", {})
    account = own if bound.account is None else parse_account_id(bound.account)
    step = SeedStep(number, bound.operation, account, bound.name, given if isinstance(given, dict) else {})
    if not isinstance(given, dict):
        raise step.refused("input is no object")
    if unknown := element.keys() - {"operation", "account", "as", "input"}:
        raise step.refused(f"unknown members {', '.join(sorted(unknown))}")
    served = operations.get(bound.operation)
    if served is None:
        raise step.refused("there is no such operation")
    known = {member_of(each) for each in fields(served.operation.request or Struct)}
    if strange := given.keys() - known:
        raise step.refused(f"the input has no members {', '.join(sorted(strange))}")
    return step


class Seeding(Struct, frozen=True):
    """Carries seeds out; ``operations`` are the available ones, by name."""

    operations: Mapping[str, Served]

    async def carry_out(self, steps: Sequence[SeedStep], caller: Caller) -> list[Mapping[str, object]]:
        """Return the outputs; at the first failure, raise its error with its position in the seed."""
        outputs: list[Mapping[str, object]] = []
        named: dict[str, Mapping[str, object]] = {}
        for step in steps:
            served = self.operations[step.operation]
            given = _resolved(step.given, named, step)
            assert isinstance(given, dict)
            try:
                answer = await served.invoke(_administrator(caller, step.account), _raw(served, given))
            except (ServiceUnavailable, Throttled):
                raise
            except ThingmintError as error:
                raise step.refused(error.message) from error
            output = decode_object(answer)
            outputs.append(output)
            if step.name is not None:
                named[step.name] = output
        return outputs


def _administrator(caller: Caller, account: AccountId) -> Caller:
    arn = user_arn(Scope(account, caller.region), ADMINISTRATOR)
    return replace(caller, account=account, principal=Principal(arn, (parse_policy(ADMINISTRATOR_POLICY),)))


def _raw(served: Served, given: Mapping[str, object]) -> RawRequest:
    """Return the request that an SDK would send for this input."""
    labels: dict[str, str] = {}
    query: list[tuple[str, str]] = []
    headers: list[tuple[bytes, bytes]] = []
    body: dict[str, object] = {}
    payload = b""
    request = served.operation.request
    assert request is not None
    for each in fields(request):
        location, name = location_of(each), each.encode_name
        value = given.get(member_of(each), "" if location is Location.PATH else None)
        if value is None:
            continue
        match location:
            case Location.PATH:
                labels[name] = _text(value)
            case Location.QUERY:
                query.append((name, _text(value)))
            case Location.HEADER:
                headers.append((name.lower().encode(), _text(value).encode()))
            case Location.BODY:
                body[name] = value
            case _:
                payload = _text(value).encode()
    return RawRequest(labels, query, headers, payload or (json.dumps(body).encode() if body else b""))


def member_of(field: FieldInfo) -> str:
    """Return the member's name in AWS's model, which may differ from its name on the wire."""
    first, *others = field.name.split("_")
    return first + "".join(map(str.capitalize, others))


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _resolved(value: object, named: Mapping[str, Mapping[str, object]], step: SeedStep) -> object:
    """Return the value with references replaced; other ``${…}`` are kept, because policies have variables."""
    if isinstance(value, dict):
        return {key: _resolved(each, named, step) for key, each in value.items()}
    if isinstance(value, list):
        return [_resolved(each, named, step) for each in value]
    if not isinstance(value, str):
        return value
    return _REFERENCE.sub(lambda found: _referred(found, named, step), value)


def _referred(found: "re.Match[str]", named: Mapping[str, Mapping[str, object]], step: SeedStep) -> str:
    if found[1] not in named:
        return found[0]
    value: object = named[found[1]]
    for member in found[2].split("."):
        value = value.get(member) if isinstance(value, dict) else None
    if not isinstance(value, str):
        raise step.refused(f"{found[0]} is no text in the output of {found[1]}")
    return value
