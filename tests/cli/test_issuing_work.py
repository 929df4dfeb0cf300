"""Every identity once, whatever becomes of requests, answers and the process that asks."""

import asyncio
import contextlib
import dataclasses
import itertools
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.support.machine.soak import examples
from tests.support.registration.authority import EVERYTHING, caller_with
from tests.support.registration.registrar import Fate, FaultyRegistrar, Killed

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.issuing.begin import JobProperties, begin
from thingmint.cli.issuing.folder import Folder, FolderRefused, public_key_sha256
from thingmint.cli.issuing.registrar import Registered
from thingmint.cli.issuing.retries import WorkStopped
from thingmint.cli.issuing.work import AnswerRefused, Pauses, Work
from thingmint.core.identifiers import AccountId
from thingmint.core.paging import PageRequest
from thingmint.issuance.keys.key_pairs import KeyPair
from thingmint.registration.certificates.certificates import list_certificates

NO_PAUSES = Pauses(retry=0.0, settle=0.0)
COUNT = 4


class Keys:
    """A `KeySource` that gives each key once, and again only if who took it was killed before it was in the folder."""

    def __init__(self, key_pairs: tuple[KeyPair, ...], folder: Folder) -> None:
        self._left = deque(key_pairs)
        self._folder = folder

    async def take(self) -> KeyPair:
        """Return the next key pair that is not in the folder."""
        kept = {path.read_bytes() for path in self._folder.path.glob("*.key.pem")}
        while True:
            self._left.rotate(-1)
            if self._left[-1].private_key_pem not in kept:
                return self._left[-1]


@dataclasses.dataclass
class Job:
    """Runs a job in a folder against a registrar, as often as it takes."""

    folder: Folder
    registrar: FaultyRegistrar
    keys: Keys
    progress: list[int] = dataclasses.field(default_factory=list)

    async def run(
        self,
        count: int = COUNT,
        *,
        active: bool = True,
        concurrency: int = 1,
        patience: float = 60.0,
        pauses: Pauses = NO_PAUSES,
    ) -> None:
        """Begin or resume the job, and write the manifest."""
        with self.folder.held():
            work = Work(
                folder=self.folder,
                job=await begin(self.folder, self.registrar, count=count, active=active),
                registrar=self.registrar,
                keys=self.keys,
                concurrency=concurrency,
                patience=patience,
                on_progress=self.progress.append,
                pauses=pauses,
            )
            await work.run()
            self.folder.write_manifest(work.job)

    async def run_until_complete(self, **options: Any) -> None:
        """Resume after every kill."""
        while True:
            try:
                await self.run(**options)
            except BaseExceptionGroup as group:
                if group.subgroup(Killed) is None:
                    raise
            except Killed:
                continue
            else:
                return

    async def assert_exactly(self, count: int = COUNT) -> None:
        """Assert that folder and registry hold the same identities, this many of them, each with its own key."""
        ids = await self.registrar.ids()
        assert sorted(self.folder.certificate_id(index) for index in range(1, count + 1)) == sorted(ids)
        assert self.folder.complete() == list(range(1, count + 1))
        fingerprints = set()
        for index in self.folder.complete():
            public_key = self.folder.read_certificate(index).public_key()
            assert public_key_sha256(public_key) == public_key_sha256(self.folder.read_key(index).public_key())
            fingerprints.add(public_key_sha256(public_key))
        assert len(fingerprints) == count


@pytest.fixture
def new_job(tmp_path: Path, key_pairs: tuple[KeyPair, ...]) -> Callable[..., Job]:
    """Makes jobs with folders of their own."""
    numbers = itertools.count()

    def make(*fates: Fate, registrar: FaultyRegistrar | None = None) -> Job:
        folder = Folder(tmp_path / f"out-{next(numbers)}")
        return Job(folder, (registrar or FaultyRegistrar()).meets(*fates), Keys(key_pairs, folder))

    return make


async def test_job_issues_what_was_asked_for(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run()
    await job.assert_exactly()
    assert job.progress == [0, 1, 2, 3, 4]
    assert job.registrar.asked == COUNT


@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_fate_of_a_request_loses_or_doubles_an_identity(
    new_job: Callable[..., Job], fate: Fate, concurrency: int
) -> None:
    for position in range(COUNT):
        job = new_job(*[Fate.ANSWERED] * position, fate)
        await job.run_until_complete(concurrency=concurrency)
        await job.assert_exactly()


@settings(max_examples=examples(20, 150))
@given(fates=st.lists(st.sampled_from(list(Fate)), max_size=12), concurrency=st.integers(1, 3))
@example(fates=[Fate.SERVED_LATE, Fate.KILLED_AFTER, Fate.KILLED_BEFORE], concurrency=1)
@example(fates=[Fate.SERVED_LATE, Fate.SERVED_LATE, Fate.ANSWERED, Fate.KILLED_AFTER], concurrency=1)
async def test_no_order_of_fates_loses_or_doubles_an_identity(
    new_job: Callable[..., Job], fates: list[Fate], concurrency: int
) -> None:
    job = new_job(*fates)
    await job.run_until_complete(concurrency=concurrency)
    await job.assert_exactly()


class MortalFolder(Folder, frozen=True):
    """A folder whose owner is killed at one of its writes, before or after it reached the disk."""

    steps_to_live = 0
    is_late = False

    @contextlib.contextmanager
    def _step(self) -> Iterator[None]:
        MortalFolder.steps_to_live -= 1
        if MortalFolder.steps_to_live == 0 and not MortalFolder.is_late:
            raise Killed
        yield
        if MortalFolder.steps_to_live == 0:
            raise Killed

    def write_job(self, job: Any) -> None:
        """Write, or die."""
        with self._step():
            Folder.write_job(self, job)

    def write_key(self, index: int, private_key_pem: bytes) -> None:
        """Write, or die."""
        with self._step():
            Folder.write_key(self, index, private_key_pem)

    def write_certificate(self, index: int, der: bytes) -> None:
        """Write, or die."""
        with self._step():
            Folder.write_certificate(self, index, der)


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("fate", [Fate.ANSWERED, Fate.SERVED_LATE, Fate.ANSWER_LOST])
async def test_death_at_any_write_loses_or_doubles_no_identity(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, fate: Fate, is_late: bool
) -> None:
    monkeypatch.setattr(MortalFolder, "is_late", is_late)
    for step in range(1, 16):
        job = new_job(Fate.ANSWERED, fate)
        job.folder = MortalFolder(job.folder.path)
        monkeypatch.setattr(MortalFolder, "steps_to_live", step)
        await job.run_until_complete()
        await job.assert_exactly()
    # The last rounds were long enough that nobody died: every write has had its turn.
    assert MortalFolder.steps_to_live > 0


async def test_doubles_of_a_run_that_was_killed_are_ended_by_the_next(new_job: Callable[..., Job]) -> None:
    """The identity itself is complete when the asker dies, so nothing but the job's record tells of its double."""
    job = new_job(Fate.SERVED_LATE, Fate.ANSWERED, Fate.KILLED_BEFORE)
    with pytest.raises(BaseExceptionGroup):
        await job.run()
    assert job.folder.complete() == [1]
    recorded = job.folder.read_job()
    assert recorded is not None
    assert recorded.asked_again == (1,)
    await job.run()
    await job.assert_exactly()
    recorded = job.folder.read_job()
    assert recorded is not None
    assert recorded.asked_again == ()


@dataclasses.dataclass
class SlowRegistrar(FaultyRegistrar):
    """A service that is stuck with the first request, whose sender dies; by a clock of its own."""

    seconds: float = 0.0
    answer_takes: float = 0.0
    late_by: float = 0.0
    _stuck: tuple[str, bool] | None = None
    _served_at: float = math.inf

    async def issue(self, csr_pem: str, *, active: bool) -> Registered:
        """Die with the first request, and serve it a while after the first answer to another one."""
        if self._stuck is None:
            self._stuck = csr_pem, active
            raise Killed
        self.seconds += self.answer_takes
        if self._served_at == math.inf:
            self._served_at = self.seconds + self.late_by
        return await super().issue(csr_pem, active=active)

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        if self._stuck is not None and self.seconds >= self._served_at:
            csr_pem, active = self._stuck
            self._served_at = math.inf
            await super().issue(csr_pem, active=active)


@pytest.mark.parametrize(
    ("answer_takes", "late_by"),
    [
        # Stuck for longer than a request takes at most, and well again at once for all that waited.
        (40.0, 4.0),
        # So slow that a request which came first may well be answered last.
        (20.0, 15.0),
        (0.1, 4.0),
    ],
)
async def test_request_that_a_stuck_service_serves_late_leaves_no_double(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch, answer_takes: float, late_by: float
) -> None:
    registrar = SlowRegistrar(answer_takes=answer_takes, late_by=late_by)
    job = new_job(registrar=registrar)
    monkeypatch.setattr("thingmint.cli.issuing.work.time", SimpleNamespace(monotonic=lambda: registrar.seconds))
    monkeypatch.setattr(asyncio, "sleep", registrar.sleep)
    await job.run_until_complete(count=1, pauses=Pauses())
    assert registrar.asked == 2
    await job.assert_exactly(1)


async def test_others_may_register_and_delete_meanwhile(new_job: Callable[..., Job]) -> None:
    service = FaultyRegistrar()
    theirs = new_job(registrar=service)
    await theirs.run(2)
    foreign = set(await service.ids())
    job = new_job(Fate.SERVED_LATE, Fate.ANSWER_LOST, registrar=service)
    await job.run(3)
    assert len(await service.ids()) == 5
    assert foreign < set(await service.ids())
    # All that the job knew from before is deleted: the search goes further down and finds the same.
    for certificate_id in foreign:
        await service.discard(certificate_id)
    service.meets(Fate.ANSWER_LOST)
    await job.run(4)
    await job.assert_exactly(4)


async def test_job_can_grow_and_not_shrink(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run(2)
    await job.run(4)
    await job.assert_exactly(4)
    with pytest.raises(FolderRefused, match="begun for 4 identities, which is more than 3"):
        await job.run(3)
    await job.assert_exactly(4)


async def test_status_asked_for_cannot_change(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run(1, active=False)
    with pytest.raises(FolderRefused, match="begun without --active"):
        await job.run(2, active=True)
    job = new_job()
    await job.run(1, active=True)
    with pytest.raises(FolderRefused, match="begun with --active"):
        await job.run(2, active=False)


async def test_what_tells_of_the_production_cannot_change(new_job: Callable[..., Job]) -> None:
    job = new_job()
    job.folder.path.mkdir()
    await begin(job.folder, job.registrar, count=1, active=True, making=JobProperties(batch="B-17"))
    with pytest.raises(FolderRefused, match="begun with batch 'B-17', not None"):
        await begin(job.folder, job.registrar, count=1, active=True)
    with pytest.raises(FolderRefused, match="begun with key_type 'rsa-2048', not 'ec-p256'"):
        await begin(job.folder, job.registrar, count=1, active=True, making=JobProperties("ec-p256", batch="B-17"))


async def test_other_service_is_refused_before_it_is_asked_for_anything(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run(2)
    other = FaultyRegistrar(trust_anchor_sha256="cd" * 32)
    job.registrar = other
    with pytest.raises(FolderRefused, match="begun with another service, account or region"):
        await job.run(3)
    assert other.asked == 0


async def test_other_service_is_noticed_before_anything_is_complete(new_job: Callable[..., Job]) -> None:
    job = new_job(Fate.KILLED_AFTER)
    with pytest.raises(BaseExceptionGroup):
        await job.run()
    job.registrar = FaultyRegistrar(trust_anchor_sha256="cd" * 32)
    with pytest.raises(FolderRefused, match="begun with another service"):
        await job.run()
    assert job.registrar.asked == 0


async def test_other_account_of_the_same_service_is_refused(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run(1)
    job.registrar = FaultyRegistrar(authority=job.registrar.authority, account=AccountId("210987654321"))
    with pytest.raises(FolderRefused, match="another service, account or region"):
        await job.run(2)
    assert job.registrar.asked == 0


async def test_service_that_changes_its_account_under_way_is_noticed(new_job: Callable[..., Job]) -> None:
    job = new_job()
    await job.run(1)
    begun = await begin(job.folder, job.registrar, count=2, active=True)
    stranger = FaultyRegistrar(account=AccountId("210987654321"))
    work = Work(job.folder, begun, stranger, job.keys, 1, 60.0, lambda done: None, NO_PAUSES)
    with pytest.raises(FolderRefused, match="this service answers as arn:aws:iot:eu-west-1:210987654321:cert/"):
        await work.run()


async def test_patience_ends(new_job: Callable[..., Job]) -> None:
    for fate in (Fate.REQUEST_LOST, Fate.FAILED, Fate.THROTTLED):
        job = new_job(*[fate] * 50)
        with pytest.raises(WorkStopped):
            await job.run(patience=0.0)
        job.registrar.fates.clear()
        await job.run()
        await job.assert_exactly()


async def test_patience_ends_while_nothing_can_be_looked_up(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals: list[Exception] = [
        ServiceUnreachable("gone"),
        ServiceRefused(503, "ServiceUnavailableException", "", 0.0),
        ServiceRefused(400, "ThrottlingException", "", 0.0),
    ]
    for refusal in refusals:
        job = new_job(Fate.KILLED_AFTER)
        await _run_killed(job)
        begun = await begin(job.folder, job.registrar, count=COUNT, active=True)

        async def find(certificate_id: str, refusal: Exception = refusal) -> Registered | None:
            raise refusal

        monkeypatch.setattr(job.registrar, "find", find)
        work = Work(job.folder, begun, job.registrar, job.keys, 1, 0.0, lambda done: None, NO_PAUSES)
        with pytest.raises(WorkStopped):
            await work.run()


async def test_refusal_while_looking_up_ends_the_work(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job(Fate.KILLED_AFTER)
    await _run_killed(job)
    begun = await begin(job.folder, job.registrar, count=COUNT, active=True)

    async def find(certificate_id: str) -> Registered | None:
        raise ServiceRefused(403, "AccessDeniedException", "", 0.0)

    monkeypatch.setattr(job.registrar, "find", find)
    work = Work(job.folder, begun, job.registrar, job.keys, 1, 60.0, lambda done: None, NO_PAUSES)
    with pytest.raises(ServiceRefused, match="AccessDeniedException"):
        await work.run()


async def _run_killed(job: Job) -> None:
    with pytest.raises(BaseExceptionGroup):
        await job.run()


async def test_lookups_are_tried_again(new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch) -> None:
    job = new_job(Fate.KILLED_AFTER)
    await _run_killed(job)
    whole = job.registrar.find
    refusals = [ServiceUnreachable("gone"), ServiceRefused(400, "ThrottlingException", "", 0.0)]

    async def find(certificate_id: str) -> Registered | None:
        if refusals:
            raise refusals.pop()
        return await whole(certificate_id)

    monkeypatch.setattr(job.registrar, "find", find)
    await job.run()
    await job.assert_exactly()
    assert not refusals


async def test_certificate_for_another_key_is_refused(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()
    await job.run(1)
    first = Registered("arn:aws:iot:eu-west-1:123456789012:cert/x", _der_of(job.folder, 1))

    async def issue(csr_pem: str, *, active: bool) -> Registered:
        return first

    monkeypatch.setattr(job.registrar, "issue", issue)
    with pytest.raises(AnswerRefused, match="another key"):
        await job.run(2)
    assert job.folder.complete() == [1]


def _der_of(folder: Folder, index: int) -> bytes:
    return folder.read_certificate(index).public_bytes(Encoding.DER)


async def test_refused_request_stops_the_work_and_the_job_can_be_resumed(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = new_job()

    async def issue(csr_pem: str, *, active: bool) -> Registered:
        raise ServiceRefused(403, "AccessDeniedException", "no", 0.0)

    with monkeypatch.context() as patch:
        patch.setattr(job.registrar, "issue", issue)
        with pytest.raises(ServiceRefused, match="AccessDeniedException: no"):
            await job.run(concurrency=3)
    assert await job.registrar.ids() == []
    await job.run()
    await job.assert_exactly()


async def test_a_stopped_run_leaves_no_thread_that_writes_to_the_folder(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    job, begun, ended = new_job(), list[int](), list[int]()
    write_key = Folder.write_key

    def write_slowly(folder: Folder, index: int, content: bytes) -> None:
        begun.append(index)
        if index > 1:
            time.sleep(0.2)
        write_key(folder, index, content)
        ended.append(index)

    async def issue(csr_pem: str, *, active: bool) -> Registered:
        raise ServiceRefused(403, "AccessDeniedException", "no", 0.0)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "write_key", write_slowly)
        patch.setattr(job.registrar, "issue", issue)
        with pytest.raises(ServiceRefused, match="AccessDeniedException: no"):
            await job.run(concurrency=3)
        assert sorted(ended) == sorted(begun) == [1, 2, 3]
    await job.run()
    await job.assert_exactly()


async def test_full_disk_stops_the_work_and_the_job_can_be_resumed(
    new_job: Callable[..., Job], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("write_key", "write_certificate"):
        job = new_job()

        def refuse(folder: Folder, index: int, content: bytes) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(Folder, name, refuse)
            with pytest.raises(OSError, match="No space left"):
                await job.run(concurrency=2)
        await job.run()
        await job.assert_exactly()


async def test_certificates_are_registered_in_the_status_asked_for(new_job: Callable[..., Job]) -> None:
    for active, expected in ((True, "ACTIVE"), (False, "INACTIVE")):
        job = new_job(Fate.ANSWER_LOST, Fate.SERVED_LATE)
        await job.run(2, active=active)
        registered = [await job.registrar.find(job.folder.certificate_id(index)) for index in (1, 2)]
        assert all(registered)
        summaries = await _statuses(job.registrar)
        assert summaries == {expected}


async def _statuses(registrar: FaultyRegistrar) -> set[str]:
    page = await list_certificates(registrar.authority, caller_with(EVERYTHING), PageRequest(250, None, ascending=True))
    return {str(summary.status) for summary in page.items}
