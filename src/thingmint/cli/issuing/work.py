"""Owns the work of `thingmint issue`: every identity once, despite interruptions, lost answers and refusals.

Keys are generated here, so the private key never crosses the network, and the certificate of a lost answer can be found
by its public key: before the run requests an identity in doubt again, it searches the certificates that were registered
since the job began.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from cryptography import x509
from cryptography.x509.oid import NameOID
from msgspec import Struct, structs

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.folder import Folder, FolderRefused, Job, public_key_sha256
from thingmint.cli.issuing.incomplete_identities import discard_doubles, find_lost
from thingmint.cli.issuing.registrar import Registered, Registrar
from thingmint.cli.issuing.retries import RetryLimit
from thingmint.cli.issuing.station_keys import signing_request
from thingmint.cli.threads import to_its_end
from thingmint.core.error_text import in_words
from thingmint.issuance.encoding.parsing import certificate_in_der
from thingmint.issuance.keys.private_keys import PrivateKey
from thingmint.registration.kernel.ports import KeySource

_SUBJECT = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "AWS IoT Certificate")])


class AnswerRefused(Exception):
    """The service answered with a certificate for another key."""


class Pauses(Struct, frozen=True):
    """How long to wait, in seconds: before the next attempt, and for answers that may still arrive.

    A healthy service serves a request within milliseconds, also if its sender died. A service that hangs answers no
    client. So the second wait begins with the last answer, and lasts at least as long as the slowest answer took.
    """

    retry: float = 1.0
    settle: float = 5.0


@dataclass(slots=True)
class Work:
    """One run of a job. ``on_progress`` receives the number of complete identities."""

    folder: Folder
    job: Job
    registrar: Registrar
    keys: KeySource
    concurrency: int
    patience: float
    on_progress: Callable[[int], None]
    pauses: Pauses = field(default_factory=Pauses)
    _queue: deque[int] = field(default_factory=deque)
    _in_doubt: set[int] = field(default_factory=set)
    _settling_since: float = 0.0
    _slowest_answer: float = 0.0
    _done: int = 0
    _left: RetryLimit = field(init=False)

    async def run(self) -> None:
        """Complete the job.

        Raises WorkStopped if the service does not answer for ``patience`` seconds, ServiceRefused if it refuses,
        FolderRefused and OSError if the folder or its disk cannot be used.
        """
        self._settling_since = time.monotonic()
        self._left = RetryLimit(self.patience, self.pauses.retry)
        self._done = len(self.folder.complete())
        self.on_progress(self._done)
        self._in_doubt = set(self.folder.in_doubt())
        self._queue.extend(self.folder.without_key(self.job.count))
        while self._queue or self._in_doubt:
            await self._settle_doubts()
            await self._issue_together()
        if self.job.asked_again:
            await self._end_doubles()

    async def _issue_together(self) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(self._queue))):
                    group.create_task(self._issue_queued())
        except ExceptionGroup as failures:
            # The first failure has cancelled the other tasks; the command line has a message for it.
            raise failures.exceptions[0] from None

    async def _issue_queued(self) -> None:
        while self._queue:
            index = self._queue.popleft()
            try:
                await self._issue(index)
            except ServiceUnreachable as error:
                self._in_doubt.add(index)
                self._settling_since = time.monotonic()
                self._left.check(error)
                return

    async def _issue(self, index: int) -> None:
        key = await self._key(index)
        csr_pem = signing_request(key, _SUBJECT)
        while True:
            asked_at = time.monotonic()
            try:
                registered = await self.registrar.issue(csr_pem, active=self.job.active)
            except ServiceRefused as refusal:
                if refusal.is_throttled:
                    self._left.check(refusal)
                    await asyncio.sleep(refusal.retry_after)
                    continue
                if refusal.status >= 500:
                    # The service may have committed before it failed.
                    raise ServiceUnreachable(in_words(refusal)) from refusal
                raise
            break
        self._settling_since = time.monotonic()
        self._slowest_answer = max(self._slowest_answer, self._settling_since - asked_at)
        await self._keep(index, registered)

    async def _key(self, index: int) -> PrivateKey:
        if not self.folder.key_file(index).exists():
            pair = await self.keys.take()
            await to_its_end(partial(self.folder.write_key, index, pair.private_key_pem))
        return await asyncio.to_thread(self.folder.read_key, index)

    async def _keep(self, index: int, registered: Registered) -> None:
        certificate = certificate_in_der(registered.der)
        if public_key_sha256(certificate.public_key()) != public_key_sha256(self.folder.read_key(index).public_key()):
            raise AnswerRefused("the service answered with a certificate for another key")
        self._require_arn_prefix(registered.arn)
        await to_its_end(partial(self.folder.write_certificate, index, registered.der))
        self._done += 1
        self._left.succeeded()
        self.on_progress(self._done)

    def _require_arn_prefix(self, arn: str) -> None:
        arn_prefix = arn.rpartition("/")[0] + "/"
        if self.job.arn_prefix is None:
            self._record(structs.replace(self.job, arn_prefix=arn_prefix))
        elif self.job.arn_prefix != arn_prefix:
            raise FolderRefused(
                f"the job was begun for {self.job.arn_prefix}… and this service answers as {arn_prefix}…"
            )

    async def _settle_doubts(self) -> None:
        if not self._in_doubt:
            return
        await self._left.until_answered(self._find_lost)
        if self._in_doubt:
            # A request in progress when its sender died may still be served; wait until its certificate is registered.
            await asyncio.sleep(self.pauses.retry)
            await self._left.until_answered(self._find_lost)
        if self._in_doubt:
            # Recorded durably before the second request, so that a resumed run knows that there may be two
            # certificates.
            asked_again = tuple(sorted({*self.job.asked_again, *self._in_doubt}))
            self._record(structs.replace(self.job, asked_again=asked_again))
        self._queue.extendleft(sorted(self._in_doubt, reverse=True))
        self._in_doubt.clear()

    async def _find_lost(self) -> None:
        async for index, registered in find_lost(self.folder, self.job, self.registrar, frozenset(self._in_doubt)):
            await self._keep(index, registered)
            self._in_doubt.discard(index)

    async def _end_doubles(self) -> None:
        settle = max(self.pauses.settle, self._slowest_answer)
        await asyncio.sleep(max(0.0, self._settling_since + settle - time.monotonic()))
        await self._left.until_answered(lambda: discard_doubles(self.folder, self.job, self.registrar))
        self._record(structs.replace(self.job, asked_again=()))

    def _record(self, job: Job) -> None:
        self.folder.write_job(job)
        self.job = job
