"""Owns the policy of a provisioning claim, which may only get one certificate and register it with one template.

Callers can neither see nor change the permissions of a claim of CreateProvisioningClaim. They have the form of a policy
so that the same code authorizes claims and devices.
"""

import json

from thingmint.core.identifiers import Scope, TemplateName, client_arn, topic_arn, topic_filter_arn
from thingmint.core.policies.iot_policy import parse_iot_policy
from thingmint.core.policies.language import Policy
from thingmint.core.topics.patterns import (
    CREATE_CERTIFICATE_FROM_CSR,
    CREATE_KEYS_AND_CERTIFICATE,
    REGISTER_THING,
    TEMPLATE_NAME,
)

_OPERATIONS = (CREATE_KEYS_AND_CERTIFICATE, CREATE_CERTIFICATE_FROM_CSR, REGISTER_THING)


def claim_policy(scope: Scope, template: TemplateName) -> Policy:
    """Return the policy of a claim for the template."""
    topics = [operation.in_policies({TEMPLATE_NAME: template}) for operation in _OPERATIONS]
    statements = [
        _allowed(["iot:Connect"], [client_arn(scope, "*")]),
        _allowed(["iot:Publish", "iot:Receive"], [topic_arn(scope, topic) for topic in topics]),
        _allowed(["iot:Subscribe"], [topic_filter_arn(scope, topic) for topic in topics]),
    ]
    return parse_iot_policy(json.dumps({"Version": "2012-10-17", "Statement": statements}))


def _allowed(actions: list[str], resources: list[str]) -> dict[str, object]:
    return {"Effect": "Allow", "Action": actions, "Resource": resources}
