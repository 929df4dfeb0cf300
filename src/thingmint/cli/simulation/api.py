"""Owns a simulation's calls of the service's API, which are repeated while the service throttles."""

import time
from collections.abc import Mapping

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable, SignedClient

_PATIENCE_SECONDS = 60.0
# RFC 9110, 9.2.2: may be repeated without an answer. A service closes connections that were idle for minutes.
_IDEMPOTENT = ("GET", "PUT", "DELETE")


class Api:
    """Calls the service; raises ServiceRefused and ServiceUnreachable as `SignedClient` does."""

    def __init__(self, client: SignedClient) -> None:
        self._client = client

    def call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> dict[str, object]:
        """Return the answer; repeat the call while the service is busy, and once if it did not answer.

        A repeated DELETE may therefore raise that the resource does not exist.
        """
        deadline = time.monotonic() + _PATIENCE_SECONDS
        may_repeat = method in _IDEMPOTENT
        while True:
            try:
                return self._client.call(method, path, query or {}, body, headers)
            except ServiceUnreachable:
                if not may_repeat:
                    raise
                may_repeat = False
            except ServiceRefused as refusal:
                if not refusal.is_throttled or time.monotonic() > deadline:
                    raise
                time.sleep(refusal.retry_after)

    def text(self, method: str, path: str, member: str, query: Mapping[str, str] | None = None) -> str:
        """Return one member of the answer."""
        return str(self.call(method, path, query)[member])
