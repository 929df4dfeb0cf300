"""Owns what sets AWS IoT policies, which bind devices, apart from IAM's: their size and the services they speak of.

The language is that of every policy. MQTT's own wildcards, + and #, are plain characters in it.
"""

from thingmint.core.errors import MalformedPolicy
from thingmint.core.policy import Policy
from thingmint.core.policy_document import read_document
from thingmint.core.policy_statements import parse_statements
from thingmint.core.strict_json import Malformed, position

# AWS IoT's quota, which does not count white space.
MAX_SIGNIFICANT_CHARACTERS = 2048
# Devices call the message broker and the registry (iot), the data plane of jobs, and Greengrass's discovery.
SERVICES = frozenset({"iot", "iotjobsdata", "greengrass"})


def parse_iot_policy(text: str) -> Policy:
    """Return the policy; raise MalformedPolicy naming line, column and reason if the text is no AWS IoT policy."""
    try:
        document = read_document(text, MAX_SIGNIFICANT_CHARACTERS)
        return Policy(text, parse_statements(document, SERVICES))
    except Malformed as error:
        raise MalformedPolicy(f"{position(text, error.offset)}: {error.reason}") from error
