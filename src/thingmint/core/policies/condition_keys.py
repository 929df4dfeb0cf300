"""Owns which condition keys requests of API callers and of devices have. Does not compute their values.

A condition on a key that a request never has does nothing in a Deny and never holds in an Allow, so the creator of
such a policy is warned. Sources: IAM user guide, "AWS global condition context keys"; service authorization reference
of AWS IoT; IoT developer guide, "AWS IoT Core policy variables".
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from re import Pattern

from thingmint.core.identifiers import AccountId, CertificateId, Region, Scope, ThingName, ThingTypeName
from thingmint.core.policies.certificate_variables import every_name
from thingmint.core.policies.device_context import ConnectAttribute, ConnectionContext, connect_context, device_context
from thingmint.core.policies.language import Policy
from thingmint.core.registry.attributes import Attributes
from thingmint.core.registry.thing import Thing

_TAG_KEY = "${TagKey}"
_NAME = "${Name}"
_PLACEHOLDER = re.compile(r"\\\$\\\{[A-Za-z]+\\\}")


@dataclass(frozen=True, slots=True)
class ConditionKey:
    """A key as documents show it; ``${…}`` is a part that callers choose. Without actions, all actions have it."""

    name: str
    actions: frozenset[str] = frozenset()

    def is_named(self, text: str) -> bool:
        """Return whether the text is this key; names of keys are case-insensitive."""
        return _pattern(self.name).fullmatch(text) is not None

    def is_given_to(self, action: str) -> bool:
        """Return whether requests for the action can have the key."""
        return not self.actions or action in self.actions


@cache
def _pattern(name: str) -> Pattern[str]:
    # Compiled when a policy is first compared with the keys, because there are hundreds of them.
    return re.compile(_PLACEHOLDER.sub(".+", re.escape(name)), re.IGNORECASE | re.DOTALL)


def _of(name: str, *actions: str) -> ConditionKey:
    return ConditionKey(name, frozenset(actions))


_CREATING_WITH_TAGS = (
    "iot:CreateBillingGroup",
    "iot:CreateCertificateProvider",
    "iot:CreatePolicy",
    "iot:CreateProvisioningTemplate",
    "iot:CreateRoleAlias",
    "iot:CreateThingGroup",
    "iot:CreateThingType",
    "iot:RegisterCACertificate",
)

# tests/contract/test_authorization_reference.py compares them with the operations and with AWS's reference.
CALLER_KEYS: tuple[ConditionKey, ...] = (
    _of("aws:CurrentTime"),
    _of("aws:EpochTime"),
    _of("aws:MultiFactorAuthPresent"),
    _of("aws:PrincipalAccount"),
    _of("aws:PrincipalArn"),
    _of("aws:PrincipalIsAWSService"),
    _of("aws:PrincipalType"),
    _of("aws:Referer"),
    _of("aws:RequestedRegion"),
    _of(f"aws:RequestTag/{_TAG_KEY}", *_CREATING_WITH_TAGS, "iot:TagResource"),
    _of("aws:ResourceAccount"),
    _of(f"aws:ResourceTag/{_TAG_KEY}"),
    _of("aws:SecureTransport"),
    _of("aws:SourceIp"),
    _of("aws:TagKeys", *_CREATING_WITH_TAGS, "iot:TagResource", "iot:UntagResource"),
    _of("aws:TokenIssueTime"),
    _of("aws:UserAgent"),
    _of("aws:userid"),
    _of("aws:username"),
    _of("aws:ViaAWSService"),
    _of("iam:PassedToService", "iam:PassRole"),
    _of("iot:IncludeSocketInformation", "iot:GetConnection", "iot:GetThingConnectivityData"),
    _of("iot:thingArn", "iot:AttachThingPrincipal", "iot:DetachThingPrincipal"),
    _of("iot:Topic", "iot:SendDirectMessage"),
)
"""The keys of requests to the API. A request has a key only if it has its source: temporary credentials, tags, …"""


def _keys_of_devices() -> Iterator[ConditionKey]:
    """Yield the keys of a connection with every value known, computed by the functions that decide requests."""
    scope, name = Scope(AccountId("000000000000"), Region("us-east-1")), "name"
    created = datetime(1970, 1, 1, tzinfo=UTC)
    thing = Thing(scope, ThingName(name), name, created, ThingTypeName(name), attributes=Attributes.of({name: name}))
    certificate_id = CertificateId("0" * 64)
    lasting = device_context(ConnectionContext(name, name, name, certificate_id, every_name(), thing))
    for key in lasting.names:
        # The thing chooses the name of the attribute.
        yield _of(key.replace(f"[{name}]", f"[{_NAME}]"))
    for key in connect_context(lasting, scope, ConnectAttribute, name).names - lasting.names:
        yield _of(key, CONNECT)


CONNECT = "iot:Connect"
DEVICE_KEYS: tuple[ConditionKey, ...] = tuple(_keys_of_devices())
"""The keys and variables of devices' requests."""

DEVICE_ACTIONS = (CONNECT, "iot:Publish", "iot:RetainPublish", "iot:Subscribe", "iot:Receive")

WEB_SOCKET_KEYS = (
    _of("iot:ClientId", *DEVICE_ACTIONS),
    _of("iot:DomainName", *DEVICE_ACTIONS),
    _of("iot:ConnectAttributes", CONNECT),
    _of("iot:LastWillTopic", CONNECT),
)
"""The keys of callers' requests in WebSockets that other requests of callers do not have."""


def never_present(policy: Policy, keys: Iterable[ConditionKey], actions: Sequence[str]) -> tuple[str, ...]:
    """Return the keys of statements about one of the actions that no request for these actions has.

    Other actions in a statement belong to another service or have no effect here.
    """
    known = tuple(keys)
    found: set[str] = set()
    for statement in policy.statements:
        spoken_of = [action for action in actions if statement.speaks_of(action.lower())]
        for key in statement.condition_keys() if spoken_of else ():
            named = [each for each in known if each.is_named(key)]
            if not any(each.is_given_to(action) for each in named for action in spoken_of):
                found.add(key)
    return tuple(sorted(found))
