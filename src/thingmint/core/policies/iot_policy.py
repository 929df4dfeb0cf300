"""Owns the differences between AWS IoT policies, which apply to devices, and IAM policies: size and services.

Both have the same language. MQTT's wildcards + and # are plain characters in it.
"""

from collections.abc import Callable

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policies.document import read_document
from thingmint.core.policies.language import Policy, compiled
from thingmint.core.policies.statements import VERSION_WITH_VARIABLES, PolicyStatement, parse_statements, version_of
from thingmint.core.strict_json import Malformed, Node, position, written

# AWS IoT's quota, which does not count white space.
MAX_SIGNIFICANT_CHARACTERS = 2048
# Devices call the message broker and the registry (iot), the data plane of jobs, and Greengrass's discovery.
SERVICES = frozenset({"iot", "iotjobsdata", "greengrass"})


def parse_iot_policy(text: str) -> Policy:
    """Return a policy of the registry.

    Raises MalformedPolicy naming line, column and reason if the text is no AWS IoT policy.
    """
    return _parse(text, parse_statements)


def parse_new_iot_policy(text: str) -> Policy:
    """Return a new policy; raise MalformedPolicy as `parse_iot_policy` does, and for a version that AWS IoT refuses."""
    return _parse(text, _parse_new)


def _parse_new(document: Node, services: frozenset[str]) -> tuple[PolicyStatement, ...]:
    if version_of(document) not in (None, VERSION_WITH_VARIABLES):
        raise MalformedPolicy(f"Unknown policy document version. It must be version {VERSION_WITH_VARIABLES}")
    if len(written(document)) > MAX_SIGNIFICANT_CHARACTERS:
        raise Malformed(
            document.offset,
            f"a policy has at most {MAX_SIGNIFICANT_CHARACTERS} characters; white space counts only inside of strings",
        )
    return parse_statements(document, services)


def _parse(text: str, parse: Callable[[Node, frozenset[str]], tuple[PolicyStatement, ...]]) -> Policy:
    try:
        return compiled(text, parse(read_document(text, MAX_SIGNIFICANT_CHARACTERS), SERVICES))
    except Malformed as error:
        raise MalformedPolicy(f"{position(text, error.offset)}: {error.reason}") from error
