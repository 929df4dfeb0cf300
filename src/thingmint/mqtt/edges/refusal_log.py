"""Owns the log lines of devices' refusals: one for each refusal, and a limited number for a device that keeps trying.

For each certificate the first refusals in a minute are logged one by one. Further refusals are counted, and one line at
the end of the minute has their number. A second limit is for all certificates together, because a client can show any
number of certificates. Every refusal is counted in the metrics.
"""

import time
from collections.abc import Callable
from itertools import takewhile
from typing import Final

from msgspec import Struct

from thingmint.core.identifiers import CertificateId, PrincipalId
from thingmint.core.operational_log import OperationalLog
from thingmint.core.principals import is_access_key
from thingmint.mqtt.events import ActionRefused, ConnectRefused, Refused

WINDOW_SECONDS: Final = 60.0
LINES_IN_A_WINDOW: Final = 10
LINES_OF_ALL: Final = 1000
# Further certificates share one window.
MAX_CERTIFICATES: Final = 10_000
# MQTT allows topics of 65,535 bytes, and policies are evaluated before the length is checked.
LONGEST_FIELD: Final = 512

_OTHERS: Final = CertificateId("others")
_IMPLICIT: Final = "IMPLICIT_DENY"


class _Window(Struct):
    began_at: float
    logged: int = 0
    suppressed: int = 0


class RefusalLog:
    """Logs and counts refusals."""

    def __init__(
        self,
        log: OperationalLog,
        observe: Callable[[str, str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take a log, and the function that counts a refusal by its action and reason."""
        self._log = log
        self._observe = observe
        self._monotonic = monotonic
        self._windows: dict[PrincipalId, _Window] = {}
        self._all = _Window(monotonic())

    def connect_refused(self, event: ConnectRefused) -> None:
        """Log that a CONNECT was refused."""
        refused = event.refused or Refused("iot:Connect", _IMPLICIT, detail=event.why)
        account = None if event.scope is None else event.scope.account
        self._take(refused, event.principal_id, account, event.client_id, event.source_address)

    def action_refused(self, event: ActionRefused) -> None:
        """Log a refusal on an accepted connection."""
        link = event.link
        self._take(event.refused, link.principal_id, link.scope.account, link.client_id, link.source_address)

    def advance(self) -> None:
        """Write the closing lines that are due; called about once a second."""
        now = self._monotonic()
        # Windows are in the order in which they began, so this examines only the due ones and one more.
        due = tuple(takewhile(lambda each: self._windows[each].began_at + WINDOW_SECONDS <= now, self._windows))
        for principal_id in due:
            self._close(principal_id)
        if self._all.began_at + WINDOW_SECONDS <= now:
            self._close_all(now)

    def close(self) -> None:
        """Write the closing lines of all certificates now."""
        for principal_id in tuple(self._windows):
            self._close(principal_id)
        self._close_all(self._monotonic())

    def _take(
        self, refused: Refused, principal_id: PrincipalId, account: str | None, client_id: str, source: str
    ) -> None:
        self._observe(refused.action, refused.reason)
        self.advance()
        window = self._window(principal_id)
        if window.logged >= LINES_IN_A_WINDOW:
            window.suppressed += 1
            return
        if self._all.logged >= LINES_OF_ALL:
            self._all.suppressed += 1
            return
        window.logged += 1
        self._all.logged += 1
        fields = {
            "action": refused.action,
            "reason": refused.reason,
            "account": account,
            **_named(principal_id),
            "client_id": client_id,
            "resource": refused.resource,
            "policy": refused.policy,
            "source": source,
            "detail": refused.detail,
        }
        self._log.warning("refused", **{name: _bounded(value) for name, value in fields.items() if value})

    def _window(self, principal_id: PrincipalId) -> _Window:
        window = self._windows.get(principal_id)
        if window is None:
            key = principal_id if len(self._windows) < MAX_CERTIFICATES else _OTHERS
            window = self._windows.setdefault(key, _Window(self._monotonic()))
        return window

    def _close(self, principal_id: PrincipalId) -> None:
        window = self._windows.pop(principal_id)
        if window.suppressed:
            self._log.warning("more was refused", **_named(principal_id), count=window.suppressed)

    def _close_all(self, now: float) -> None:
        if self._all.suppressed:
            self._log.warning("more was refused", certificate=_OTHERS, count=self._all.suppressed)
        self._all = _Window(now)


def _named(principal_id: PrincipalId) -> dict[str, str]:
    """Return the field that names the principal."""
    return {("access_key" if is_access_key(principal_id) else "certificate"): principal_id}


def _bounded(text: str) -> str:
    return text if len(text) <= LONGEST_FIELD else text[:LONGEST_FIELD] + "…"
