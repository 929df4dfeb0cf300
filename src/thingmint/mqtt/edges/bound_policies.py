"""Owns the decisions of a connection's compiled policies about the last parts of ARNs. Independent of their source."""

from functools import lru_cache
from typing import Final

from msgspec import Struct

from thingmint.core.identifiers import Scope, iot_arn
from thingmint.core.policies.authorizer import Authorizer as CompiledPolicies
from thingmint.core.policies.device_context import connect_context
from thingmint.core.policies.language import Decision, DecisionEffect
from thingmint.mqtt.rights.ports import ConnectionFacts, Denial

_CONNECT: Final = "iot:Connect"
# Connections of an account share the text; that of an account without a new connection is dropped first.
_KEPT_PREFIXES: Final = 1024


class BoundPolicies(Struct, frozen=True):
    """The compiled policies of a connection; conditions on attributes of CONNECT apply to iot:Connect only."""

    scope: Scope
    arn_prefix: str
    facts: ConnectionFacts
    connected: CompiledPolicies
    names: tuple[str, ...]

    @classmethod
    def of(
        cls, scope: Scope, facts: ConnectionFacts, connected: CompiledPolicies, names: tuple[str, ...]
    ) -> "BoundPolicies":
        """Return the policies of a connection, which has these facts; ``names`` are those of the policies."""
        return cls(scope, _arn_prefix(scope), facts, connected, names)

    def allows(self, action: str, resource: str) -> bool:
        """Return whether the action is allowed on the resource, the last part of an ARN."""
        if action != _CONNECT:
            return self.connected.allows(action, self.arn_prefix + resource)
        return self._decide(action, resource).effect is DecisionEffect.ALLOWED

    def denial(self, action: str, resource: str) -> Denial:
        """Return why the action is not allowed on the resource."""
        decision = self._decide(action, resource)
        index = decision.policy_index
        return Denial(decision.effect.name, None if index is None else self.names[index])

    def _decide(self, action: str, resource: str) -> Decision:
        full = self.arn_prefix + resource
        if action != _CONNECT:
            return self.connected.decide(action, full)
        # Needed once or twice, so nothing of it is kept.
        context = connect_context(self.connected.context, self.scope, self.facts.attributes, self.facts.will_topic)
        return CompiledPolicies(self.connected.policies, context).decide_once(action, full)


@lru_cache(_KEPT_PREFIXES)
def _arn_prefix(scope: Scope) -> str:
    return iot_arn(scope, "")
