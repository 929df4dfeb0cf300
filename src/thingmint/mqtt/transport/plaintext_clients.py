"""Owns the log of clients that use another protocol on the port of devices: one line a minute. Ends no connections."""

import logging
import math
from typing import Final

_SAY_EVERY_SECONDS: Final = 60.0
_CONNECT: Final = b"\x10"

log = logging.getLogger(__name__)


class PlaintextClients:
    """Recognises plain MQTT and plain HTTP by their first bytes."""

    __slots__ = ("_say_after", "_unsaid")

    def __init__(self) -> None:
        self._unsaid = 0
        self._say_after = -math.inf

    def count(self, address: str, beginning: bytes, now: float) -> None:
        """Count a failed handshake without TLS; write a line if the last line was written long enough ago."""
        if beginning[:1] == _CONNECT:
            spoken = "MQTT without TLS"
        elif beginning[:1].isalpha():
            spoken = "HTTP without TLS"
        else:
            return
        self._unsaid += 1
        if now < self._say_after:
            return
        log.warning(
            "%s was spoken on the port of devices, which speaks MQTT over TLS with client certificates: %d connections,"
            " the last from %s",
            spoken,
            self._unsaid,
            address,
        )
        self._unsaid, self._say_after = 0, now + _SAY_EVERY_SECONDS
