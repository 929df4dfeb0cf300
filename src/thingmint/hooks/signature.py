"""Owns the signature by which a webhook verifies that a request is this service's: an HMAC of time and body."""

import hashlib
import hmac
from dataclasses import dataclass, field

from thingmint.core.clock import Clock

HEADER = "X-Thingmint-Signature"
# As long as the digest; a shorter secret would be weaker than the digest.
MIN_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class QuestionSigner:
    """Signs requests with the secret that the operator shares with webhooks."""

    secret: bytes = field(repr=False)
    clock: Clock

    def signature(self, body: bytes) -> str:
        """Return the header's value: ``t=SECONDS,v1=HEX``, HEX being HMAC-SHA-256 of the seconds, a dot and the body.

        By the time a webhook can refuse requests that an attacker recorded earlier.
        """
        seconds = int(self.clock.now().timestamp())
        digest = hmac.new(self.secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={digest}"
