"""Owns how a webhook can tell that a question is this service's: a keyed digest of the time and the body."""

import hashlib
import hmac
from dataclasses import dataclass, field

from thingmint.registration.kernel.ports import Clock

HEADER = "X-Thingmint-Signature"
# As long as the digest: a shorter secret would be the weaker part.
MIN_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class QuestionSigner:
    """Signs questions with the secret that the operator shares with webhooks."""

    secret: bytes = field(repr=False)
    clock: Clock

    def signature(self, body: bytes) -> str:
        """Return the header's value: ``t=SECONDS,v1=HEX``, HEX being HMAC-SHA-256 of the seconds, a dot and the body.

        The time lets a webhook refuse what somebody recorded earlier.
        """
        seconds = int(self.clock.now().timestamp())
        digest = hmac.new(self.secret, b"%d." % seconds + body, hashlib.sha256).hexdigest()
        return f"t={seconds},v1={digest}"
