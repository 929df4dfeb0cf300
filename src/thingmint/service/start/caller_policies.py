"""Owns the check of policies of access keys against the operations that this service has."""

from thingmint.api.wire.planes import DATA_ROUTES
from thingmint.api.wire.routes import ROUTES
from thingmint.core.policies.condition_keys import CALLER_KEYS, DEVICE_ACTIONS, WEB_SOCKET_KEYS, never_present
from thingmint.core.policies.language import parse_policy


def missing_keys(policy_text: str) -> tuple[str, ...]:
    """Return the condition keys of the policy that no request to this service has."""
    actions = [f"iot:{name}" for name in (*ROUTES, *DATA_ROUTES)]
    return never_present(
        parse_policy(policy_text), (*CALLER_KEYS, *WEB_SOCKET_KEYS), [*actions, *DEVICE_ACTIONS, "iam:PassRole"]
    )
