"""Owns a certificate authority for tests of bulk issuance: the real rules on a store in memory, and faults on demand.

Faults are those of a network and of processes that die; what a fault leaves behind is what the real thing would leave.
"""

import contextlib
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from tests.support.registration.authority import ACCOUNT, EVERYTHING, caller_with, new_authority

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.offline import OfflineRegistrar
from thingmint.cli.issuing.registrar import Registered
from thingmint.core.identifiers import AccountId
from thingmint.registration.kernel.authority import RegistrationAuthority


class Killed(BaseException):
    """The process that asks is gone; nothing after this runs."""


class Fate(StrEnum):
    """What becomes of one request for a certificate."""

    ANSWERED = "answered"
    REQUEST_LOST = "request lost"
    ANSWER_LOST = "answer lost"
    SERVED_LATE = "served long after its sender gave up"
    FAILED = "503 without a certificate"
    FAILED_AFTER_COMMIT = "503 with a certificate"
    THROTTLED = "throttled"
    KILLED_BEFORE = "asker killed before the request"
    KILLED_AFTER = "asker killed before the answer"


# Requests that are late are served this many calls later, which is before a job can have ended.
_LATE_BY_CALLS = 4


@dataclass
class FaultyRegistrar:
    """A `Registrar` whose requests meet their fates in turn, and good ones when those are used up."""

    fates: deque[Fate] = field(default_factory=deque)
    trust_anchor_sha256: str | None = "ab" * 32
    authority: RegistrationAuthority = field(default_factory=new_authority)
    account: AccountId = ACCOUNT
    asked: int = 0
    _late: list[tuple[int, Callable[[], Awaitable[Registered]]]] = field(default_factory=list)
    _calls: int = 0

    @property
    def _inner(self) -> OfflineRegistrar:
        caller = caller_with(EVERYTHING, account=self.account)
        return OfflineRegistrar(self.authority, caller, self.trust_anchor_sha256)

    def meets(self, *fates: Fate) -> "FaultyRegistrar":
        """Let the next requests meet these fates."""
        self.fates.extend(fates)
        return self

    async def ids(self) -> list[str]:
        """Return what is registered, newest first, without any fault."""
        return [certificate_id async for certificate_id in self._inner.newest_first()]

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Return a new certificate, unless the request meets another fate."""
        return await self._meet(lambda: self._inner.issue(csr_pem, active=active))

    async def register_thing(self, template: str, parameters: Mapping[str, str]) -> Registered:
        """Register a device, unless the request meets another fate."""
        return await self._meet(lambda: self._inner.register_thing(template, parameters))

    async def certificates_of_thing(self, thing: str) -> list[str]:
        """Return the certificates of a thing."""
        await self._turn()
        return await self._inner.certificates_of_thing(thing)

    async def _meet(self, request: Callable[[], Awaitable[Registered]]) -> Registered:
        await self._turn()
        self.asked += 1
        fate = self.fates.popleft() if self.fates else Fate.ANSWERED
        if fate is Fate.KILLED_BEFORE:
            raise Killed
        if fate is Fate.REQUEST_LOST:
            raise ServiceUnreachable(fate)
        if fate is Fate.SERVED_LATE:
            self._late.append((self._calls + _LATE_BY_CALLS, request))
            raise ServiceUnreachable(fate)
        if fate is Fate.FAILED:
            raise ServiceRefused(503, "ServiceUnavailableException", fate, 0.0)
        if fate is Fate.THROTTLED:
            raise ServiceRefused(400, "ThrottlingException", fate, 0.0)
        registered = await request()
        if fate is Fate.ANSWER_LOST:
            raise ServiceUnreachable(fate)
        if fate is Fate.FAILED_AFTER_COMMIT:
            raise ServiceRefused(500, "InternalFailureException", fate, 0.0)
        if fate is Fate.KILLED_AFTER:
            raise Killed
        return registered

    async def newest_first(self) -> AsyncIterator[str]:
        """Return the ids of the registered certificates, newest first."""
        await self._turn()
        async for certificate_id in self._inner.newest_first():
            yield certificate_id

    async def find(self, certificate_id: str) -> Registered | None:
        """Return a registered certificate."""
        return await self._inner.find(certificate_id)

    async def discard(self, certificate_id: str) -> None:
        """Deactivate and delete a certificate."""
        await self._inner.discard(certificate_id)

    async def _turn(self) -> None:
        self._calls += 1
        due = [late for late in self._late if late[0] <= self._calls]
        self._late = [late for late in self._late if late[0] > self._calls]
        for _, request in due:
            # A service refuses a late request like any other, and nobody hears of it.
            with contextlib.suppress(ServiceRefused):
                await request()
