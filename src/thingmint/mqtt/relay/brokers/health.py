"""Owns the state of a broker's addresses: which ones answer, and when to retry the others. Opens no connections."""

import random

from msgspec import Struct

from thingmint.mqtt.relay.brokers.address import BrokerAddress
from thingmint.mqtt.relay.limits import RelayLimits


class _AddressState(Struct):
    failures: int = 0
    retry_at: float = 0.0


class AddressHealth:
    """The addresses of one broker. Times are those of the event loop.

    Devices are spread over the addresses that answer. An address that has failed is not used until its retry is due.
    The pauses double, with a random part, so that the nodes of a service do not all return at once.
    """

    def __init__(self, addresses: tuple[BrokerAddress, ...], limits: RelayLimits) -> None:
        self._states = {each: _AddressState() for each in addresses}
        self._limits = limits
        self._next = random.randrange(len(addresses))  # noqa: S311  # no secret: where to begin

    def candidates(self, now: float) -> tuple[BrokerAddress, ...]:
        """Return the addresses that have not failed, in the order in which to try them.

        If all have failed, return one that is due, and mark it as no longer due, so that other connections do not wait
        for it.
        """
        addresses = tuple(self._states)
        start, self._next = self._next, (self._next + 1) % len(addresses)
        turned = addresses[start:] + addresses[:start]
        answering = tuple(each for each in turned if not self._states[each].failures)
        if answering:
            return answering
        due = [each for each in turned if now >= self._states[each].retry_at][:1]
        for each in due:
            self._states[each].retry_at = now + self._pause(self._states[each])
        return tuple(due)

    def due(self, now: float) -> tuple[BrokerAddress, ...]:
        """Return the failed addresses whose retry is due."""
        return tuple(each for each, state in self._states.items() if state.failures and now >= state.retry_at)

    @property
    def failed(self) -> tuple[BrokerAddress, ...]:
        """The addresses that do not answer."""
        return tuple(each for each, state in self._states.items() if state.failures)

    def failed_at(self, address: BrokerAddress, now: float) -> bool:
        """Record that an address did not answer; return whether it answered before."""
        state = self._states[address]
        pause = self._pause(state)
        state.failures = min(state.failures + 1, 32)
        state.retry_at = now + pause
        return state.failures == 1

    def answered(self, address: BrokerAddress) -> bool:
        """Record that an address answers; return whether it had failed before."""
        state = self._states[address]
        had_failed, state.failures = bool(state.failures), 0
        return had_failed

    def _pause(self, state: _AddressState) -> float:
        longest = min(self._limits.last_retry_seconds, self._limits.first_retry_seconds * 2.0**state.failures)
        return longest * random.uniform(0.5, 1.0)  # noqa: S311  # no secret: so that nodes differ
