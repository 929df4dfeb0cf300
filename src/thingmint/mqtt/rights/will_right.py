"""Owns the decision whether a will may be published, by the registry's state when it is due, not at CONNECT."""

import asyncio
import logging
from typing import Final

from msgspec import Struct

from thingmint.core.error_text import in_words
from thingmint.core.errors import ServiceUnavailable, ThingmintError, Throttled
from thingmint.mqtt.codec.packets import Publish
from thingmint.mqtt.counters import Counters, Loss
from thingmint.mqtt.rights.permissions import to_publish
from thingmint.mqtt.rights.ports import ConnectionFacts, Device, DeviceRefused

# While the store does not answer, it is not known whether the will may be published.
_TRIES: Final = 30
_RETRY_SECONDS: Final = 1.0

log = logging.getLogger(__name__)


class DeviceWillRight(Struct, frozen=True):
    """The device that left a will, its facts at CONNECT, and the counters of wills that are not published."""

    device: Device
    facts: ConnectionFacts
    counters: Counters

    async def allows(self, message: Publish) -> bool:
        """Return whether the certificate may be used now and its current policies allow the message.

        Logs and counts a will that may not be published, and one for which the registry could not be read.
        """
        why, loss = "the registry cannot be read", Loss.WILL_UNDECIDED
        for _ in range(_TRIES):
            try:
                why, loss = await self._refusal(message), Loss.WILL_NOT_ALLOWED
                break
            except (ServiceUnavailable, Throttled):
                await asyncio.sleep(_RETRY_SECONDS)
            except ThingmintError as error:
                # A further attempt would give the same result, and other wills wait.
                why = in_words(error)
                break
            except Exception:
                log.exception("it could not be decided whether a will may be published")
                break
        if why:
            principal, topic = self.device.principal_id, message.topic
            level = logging.WARNING if loss is Loss.WILL_UNDECIDED else logging.INFO
            log.log(level, "a will is not published: %s (principal %s, topic %s)", why, principal, topic)
            self.counters.lost(loss)
        return not why

    async def _refusal(self, message: Publish) -> str:
        try:
            await self.device.check()
            authorizer = await self.device.authorizer(self.facts)
        except DeviceRefused as refused:
            return refused.reason
        missing = [each.action for each in to_publish(message) if not each.is_given_by(authorizer)]
        return f"{missing[0]} is not allowed" if missing else ""
