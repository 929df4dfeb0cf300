"""Every device once, whatever becomes of requests, answers and the process that asks; each is whole or not there."""

import asyncio
import dataclasses
import itertools
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.cli.test_device_files import recipient
from tests.support.certificates.signing_requests import csr_pem
from tests.support.machine.soak import examples
from tests.support.registration.authority import EVERYTHING, caller_with
from tests.support.registration.registrar import Fate, FaultyRegistrar, Killed

from thingmint.cli.connection import Connection, ServiceRefused
from thingmint.cli.devices.delivered import DecryptionSecrets
from thingmint.cli.devices.device import ListedDevice, Row
from thingmint.cli.devices.folder import DeviceFolder, Order
from thingmint.cli.devices.formats import FileOf
from thingmint.cli.devices.manifest import DeviceEntry
from thingmint.cli.devices.recipients import read_recipient
from thingmint.cli.devices.requests import Requests
from thingmint.cli.devices.templates import own_template
from thingmint.cli.devices.verify import Verification
from thingmint.cli.devices.work import DeviceWork, RefusedRow
from thingmint.cli.issuing.folder import FolderRefused
from thingmint.cli.issuing.issuers_file import write_issuers
from thingmint.cli.issuing.registrar import Registered
from thingmint.cli.issuing.retries import RetryLimit, WorkStopped
from thingmint.cli.issuing.station_keys import CurveKeys
from thingmint.core.identifiers import CertificateId, PolicyName, ThingName
from thingmint.core.paging import PageRequest
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.registry.thing_filter import ThingFilter
from thingmint.registration.policies import policies
from thingmint.registration.policies.policy_attachments import list_attached
from thingmint.registration.registry import thing_principals, things
from thingmint.settings.config import load_config

COUNT = 4
PAGE = PageRequest(100, None, ascending=True)
DOCUMENT = '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"iot:Connect","Resource":"*"}]}'
ROWS = [
    Row(
        number + 1,
        f"lamp-{number}",
        ListedDevice(thing=f"lamp-{number}", attributes={"n": str(number)}, policies=("p",)),
    )
    for number in range(1, COUNT + 1)
]
ORDER = Order(status="ACTIVE", key_type="ec-p256", formats=("pem",), name="{thing}")
PRODUCTION = {"Thingmint::Batch": "B-17"}


@dataclasses.dataclass
class Job:
    """Runs a list in a folder against a registrar, as often as it takes."""

    folder: DeviceFolder
    registrar: FaultyRegistrar
    order: Order = ORDER
    template: str | None = None
    recipient: x509.Certificate | None = None
    refusals: list[RefusedRow] = dataclasses.field(default_factory=list)
    entries: dict[str, DeviceEntry] = dataclasses.field(default_factory=dict)
    progress: list[int] = dataclasses.field(default_factory=list)

    async def run(self, rows: list[Row] = ROWS, concurrency: int = 1, patience: float = 60.0) -> None:
        """Begin or resume the job, and write the manifest."""
        with self.folder.held():
            requests = Requests(CurveKeys("ec-p256"), self.order.status, PRODUCTION, self.template, self.recipient)
            work = DeviceWork(
                folder=self.folder,
                job=self.folder.begin(self.order, self.registrar.trust_anchor_sha256),
                registrar=self.registrar,
                requests=requests,
                concurrency=concurrency,
                patience=RetryLimit(patience, 0.0),
                on_progress=self.progress.append,
            )
            await work.run(rows)
            self.folder.write_manifest(list(work.entries.values()), work.refusals)
            self.refusals, self.entries = work.refusals, work.entries

    async def run_until_complete(self, rows: list[Row] = ROWS, **options: Any) -> None:
        """Resume after every kill."""
        while True:
            try:
                await self.run(rows, **options)
            except BaseExceptionGroup as group:
                if group.subgroup(Killed) is None:
                    raise
            except Killed:
                continue
            else:
                return

    async def assert_exactly(self, names: list[str] | None = None) -> None:
        """Assert that folder and registry hold the same devices, each whole and with its own key."""
        authority, caller = self.registrar.authority, caller_with(EVERYTHING)
        names = [row.thing for row in ROWS] if names is None else names
        listed = await things.list_things(authority, caller, ThingFilter(), PAGE)
        assert sorted(thing.name for thing in listed.items) == sorted(names)
        attached = {}
        for name in names:
            principals = await thing_principals.list_principals(authority, caller, ThingName(name), PAGE)
            (principal,) = [each.principal for each in principals.items]
            attached[name] = principal.rpartition("/")[2]
            target = CertificateTarget(caller.scope, CertificateId(attached[name]))
            found = await list_attached(authority, caller, target, PAGE, inherited=False)
            assert [policy.name for policy in found.items] == ["p"]
        assert {entry.thing: entry.certificate_id for entry in self.entries.values()} == attached
        assert sorted(await self.registrar.ids()) == sorted(attached.values())
        assert {entry.batch for entry in self.entries.values()} == {self.order.batch}
        self.assert_verified()

    def assert_verified(self) -> None:
        """Assert that the check of a delivery finds nothing; the chain is checked where a service has issued."""
        found = [
            each
            for each in Verification(self.folder.path, DecryptionSecrets(), []).problems()
            if "issuers.pem" not in each
        ]
        assert found == []


@pytest.fixture
async def new_job(tmp_path: Path) -> Callable[..., Any]:
    """Makes jobs with folders and registries of their own; a policy is there already."""
    numbers = itertools.count()

    async def make(*fates: Fate, registrar: FaultyRegistrar | None = None, **options: Any) -> Job:
        if registrar is None:
            registrar = FaultyRegistrar()
            await policies.create(registrar.authority, caller_with(EVERYTHING), PolicyName("p"), DOCUMENT, {})
        return Job(DeviceFolder(tmp_path / f"out-{next(numbers)}"), registrar.meets(*fates), **options)

    return make


async def test_every_row_becomes_a_whole_device(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    await job.run()
    await job.assert_exactly()
    assert job.progress == [0, 1, 2, 3, 4]
    assert job.refusals == []
    assert job.registrar.asked == COUNT
    await job.run()
    assert job.registrar.asked == COUNT


@pytest.mark.parametrize("fate", list(Fate))
@pytest.mark.parametrize("concurrency", [1, 3])
async def test_no_fate_of_a_request_loses_or_doubles_a_device(
    new_job: Callable[..., Any], fate: Fate, concurrency: int
) -> None:
    for position in range(COUNT):
        job = await new_job(*[Fate.ANSWERED] * position, fate)
        await job.run_until_complete(concurrency=concurrency)
        assert job.refusals == []
        await job.assert_exactly()


@settings(max_examples=examples(10, 50))
@given(fates=st.lists(st.sampled_from(list(Fate)), max_size=12), concurrency=st.integers(1, 3))
async def test_no_order_of_fates_loses_or_doubles_a_device(
    new_job: Callable[..., Any], fates: list[Fate], concurrency: int
) -> None:
    job = await new_job(*fates)
    await job.run_until_complete(concurrency=concurrency)
    assert job.refusals == []
    await job.assert_exactly()


class MortalFolder(DeviceFolder):
    """A folder whose owner is killed at one of its writes, before or after it reached the disk."""

    steps_to_live = 0
    is_late = False

    def _step(self, write: Callable[[], None]) -> None:
        MortalFolder.steps_to_live -= 1
        if MortalFolder.steps_to_live == 0 and not MortalFolder.is_late:
            raise Killed
        write()
        if MortalFolder.steps_to_live == 0:
            raise Killed

    def stage(self, thing: str, ending: str, content: bytes) -> None:
        """Write, or die."""
        self._step(lambda: DeviceFolder.stage(self, thing, ending, content))

    def deliver(self, stem: str, files: list[FileOf]) -> None:
        """Write, or die."""
        self._step(lambda: DeviceFolder.deliver(self, stem, files))

    def complete(self, entry: DeviceEntry) -> None:
        """Write, or die."""
        self._step(lambda: DeviceFolder.complete(self, entry))

    def name_key(self, thing: str, staged_ending: str, delivered: str) -> None:
        """Write, or die."""
        self._step(lambda: DeviceFolder.name_key(self, thing, staged_ending, delivered))


@pytest.mark.parametrize("is_late", [False, True])
@pytest.mark.parametrize("is_enveloped", [False, True])
@pytest.mark.parametrize("fate", [Fate.ANSWERED, Fate.SERVED_LATE, Fate.ANSWER_LOST])
async def test_death_at_any_write_loses_or_doubles_no_device(
    new_job: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    fate: Fate,
    is_late: bool,
    is_enveloped: bool,
) -> None:
    monkeypatch.setattr(MortalFolder, "is_late", is_late)
    to = read_recipient(recipient(tmp_path)) if is_enveloped else None
    for step in itertools.count(1):
        job = await new_job(Fate.ANSWERED, fate, recipient=to)
        job.folder = MortalFolder(job.folder.path)
        monkeypatch.setattr(MortalFolder, "steps_to_live", step)
        await job.run_until_complete()
        assert job.refusals == []
        await job.assert_exactly()
        # Nobody died: every write has had its turn.
        if MortalFolder.steps_to_live > 0:
            assert step > COUNT
            return


async def test_a_key_for_a_recipient_is_never_on_the_disk_in_the_clear(
    new_job: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await new_job(Fate.KILLED_AFTER, recipient=read_recipient(recipient(tmp_path)))
    written: list[bytes] = []
    stage = DeviceFolder.stage

    def remember(self: DeviceFolder, thing: str, ending: str, content: bytes) -> None:
        written.append(content)
        stage(self, thing, ending, content)

    monkeypatch.setattr(DeviceFolder, "stage", remember)
    await job.run_until_complete()
    await job.assert_exactly()
    everything = [*written, *(path.read_bytes() for path in job.folder.path.rglob("*") if path.is_file())]
    assert not any(b"PRIVATE KEY" in content for content in everything)
    assert sorted(path.name for path in job.folder.path.glob("*.key.p7m")) == [
        f"lamp-{n}.key.p7m" for n in (1, 2, 3, 4)
    ]


async def test_refused_rows_are_told_and_the_others_go_on(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    bad = [
        Row(7, "lamp-7", ListedDevice(thing="lamp-7", policies=("nobody",))),
        Row(8, "lamp-8", ListedDevice(thing="lamp-8", type="no-type")),
        Row(9, "lamp-9", problem="a truncated line?"),
    ]
    await job.run([*bad, *ROWS], concurrency=2)
    await job.assert_exactly()
    assert sorted(refusal.line for refusal in job.refusals) == [7, 8, 9]
    assert (job.folder.path / "errors.csv").read_text().splitlines()[1] == (
        "7,lamp-7,RegistrationFailed: The policy nobody does not exist"
    )
    # A corrected list completes the job.
    await job.run([Row(7, "lamp-7", ListedDevice(thing="lamp-7", policies=("p",))), *ROWS])
    await job.assert_exactly([*(row.thing for row in ROWS), "lamp-7"])
    assert not (job.folder.path / "errors.csv").exists()


async def test_two_stations_with_one_name_have_one_device_and_one_refusal(new_job: Callable[..., Any]) -> None:
    first = await new_job()
    await first.run(ROWS[:2])
    second = await new_job(registrar=first.registrar)
    await second.run(ROWS)
    assert sorted(second.entries) == ["lamp-3", "lamp-4"]
    assert [refusal.reason.partition(" (")[0] for refusal in second.refusals] == [
        "the thing exists already, with another key"
    ] * 2
    second.assert_verified()
    first.assert_verified()


async def test_changed_row_of_a_complete_device_is_refused(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    await job.run()
    changed = Row(2, "lamp-1", ListedDevice(thing="lamp-1", attributes={"n": "other"}, policies=("p",)))
    await job.run([changed, *ROWS[1:]])
    assert [refusal.thing for refusal in job.refusals] == ["lamp-1"]
    assert "was issued from line 2, which said something else" in job.refusals[0].reason


async def test_signing_requests_of_secure_elements_need_no_key_here(new_job: Callable[..., Any]) -> None:
    job = await new_job(
        Fate.ANSWER_LOST, order=Order(status="INACTIVE", key_type=None, formats=("pem", "der"), name="{thing}")
    )
    rows = [Row(1, "lamp-1", ListedDevice(thing="lamp-1", csr=csr_pem("p-256"), policies=("p",)))]
    await job.run(rows)
    await job.assert_exactly(["lamp-1"])
    assert sorted(job.entries["lamp-1"].files) == ["lamp-1.cert.der", "lamp-1.cert.pem"]
    # The same request in another folder finds the same device again.
    again = await new_job(registrar=job.registrar, order=job.order)
    await again.run(rows)
    await again.assert_exactly(["lamp-1"])


async def test_rows_give_the_parameters_of_a_template(new_job: Callable[..., Any]) -> None:
    body = """{"Parameters": {"ThingName": {"Type": "String"}, "Colour": {"Type": "String"},
        "AWS::IoT::Certificate::Id": {"Type": "String"}},
        "Resources": {
        "lamp": {"Type": "AWS::IoT::Thing", "Properties": {"ThingName": {"Ref": "ThingName"},
          "AttributePayload": {"colour": {"Ref": "Colour"}}}},
        "identity": {"Type": "AWS::IoT::Certificate", "Properties": {
          "CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}}},
        "policy": {"Type": "AWS::IoT::Policy", "Properties": {"PolicyName": "p"}}}}"""
    job = await new_job(Fate.ANSWER_LOST, template=own_template(body, "ACTIVE"))
    await job.run([Row(2, "lamp-1", ListedDevice(thing="lamp-1", parameters={"Colour": "red"}))])
    await job.assert_exactly(["lamp-1"])
    thing = await things.describe(job.registrar.authority, caller_with(EVERYTHING), ThingName("lamp-1"))
    assert thing.attributes.as_dict() == {"colour": "red"}
    assert job.entries["lamp-1"].policies == ("p",)


async def test_folder_of_another_run_is_refused(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    await job.run(ROWS[:1])
    for name, other in {"status": "INACTIVE", "name": "{serial}", "batch": "B-18", "formats": ("der",)}.items():
        job.order = Order(**{**{each: getattr(ORDER, each) for each in Order.__struct_fields__}, name: other})
        with pytest.raises(FolderRefused, match=f"was begun with {name}"):
            await job.run()
    job.order = ORDER
    other = await new_job()
    job.registrar = other.registrar
    with pytest.raises(FolderRefused, match="begun with another service, account or region"):
        await job.run()
    assert other.registrar.asked == 0
    foreign = await new_job()
    foreign.folder.path.mkdir()
    (foreign.folder.path / "notes.txt").write_text("")
    with pytest.raises(FolderRefused, match=r"holds files but no job\.json: choose another folder"):
        await foreign.run()
    (foreign.folder.path / "job.json").write_text('{"count": 1, "active": true, "fence": []}')
    with pytest.raises(FolderRefused, match="belongs to a run that issued by --count"):
        await foreign.run()


async def test_patience_ends_and_the_job_goes_on(new_job: Callable[..., Any]) -> None:
    for fate in (Fate.REQUEST_LOST, Fate.FAILED, Fate.THROTTLED):
        job = await new_job(*[fate] * 50)
        with pytest.raises(WorkStopped):
            await job.run(patience=0.0)
        job.registrar.fates.clear()
        await job.run()
        await job.assert_exactly()


async def test_caller_that_is_not_known_ends_the_work(
    new_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await new_job()

    async def refuse(template: str, parameters: object) -> Registered:
        del template, parameters
        await asyncio.sleep(0)
        raise ServiceRefused(403, "UnrecognizedClientException", "", 0.0)

    monkeypatch.setattr(job.registrar, "register_thing", refuse)
    with pytest.raises(ServiceRefused):
        await job.run()
    monkeypatch.undo()
    await job.run()
    await job.assert_exactly()


async def test_cancelled_run_waits_for_what_it_is_writing(
    new_job: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    job = await new_job()
    is_writing, may_end, ended = threading.Event(), threading.Event(), list[bool]()
    complete = DeviceFolder.complete

    def wait(self: DeviceFolder, entry: DeviceEntry) -> None:
        is_writing.set()
        may_end.wait()
        complete(self, entry)
        ended.append(True)

    monkeypatch.setattr(DeviceFolder, "complete", wait)
    run = asyncio.create_task(job.run(ROWS[:1]))
    await asyncio.to_thread(is_writing.wait)
    run.cancel()
    await asyncio.sleep(0)
    run.cancel()
    await asyncio.sleep(0)
    assert not run.done()
    may_end.set()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert ended == [True]
    monkeypatch.undo()
    await job.run()
    await job.assert_exactly()


async def test_journal_that_was_cut_off_is_mended(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    await job.run(ROWS[:2])
    journal = job.folder.path / "journal.jsonl"
    content = journal.read_bytes()
    journal.write_bytes(content[: len(content) - 40])
    # The key has its own name already, as a crash cannot leave it: the device is found by its key all the same.
    key = job.folder.path / "lamp-2.key.pem"
    key.rename(job.folder.path / "work" / "lamp-2.key.pem")
    await job.run()
    await job.assert_exactly()
    assert [line.count(b'"line"') for line in journal.read_bytes().splitlines()] == [1] * COUNT


async def test_private_keys_can_be_read_by_their_owner_only(new_job: Callable[..., Any]) -> None:
    order = Order(status="ACTIVE", key_type="ec-p256", formats=("pem", "der", "combined", "c-header"), name="{serial}")
    job = await new_job(order=order)
    await job.run(ROWS[:1])
    entry = job.entries["lamp-1"]
    assert {name.partition(".")[0] for name in entry.files} == {entry.serial_number}
    modes = {name.partition(".")[2]: (job.folder.path / name).stat().st_mode & 0o777 for name in entry.files}
    assert modes == {
        "cert.pem": 0o644,
        "key.pem": 0o600,
        "cert.der": 0o644,
        "key.der": 0o600,
        "pem": 0o600,
        "h": 0o600,
    }
    key = serialization.load_pem_private_key((job.folder.path / f"{entry.serial_number}.key.pem").read_bytes(), None)
    assert key.public_key() is not None
    job.assert_verified()


async def test_what_was_damaged_in_a_delivery_is_named(new_job: Callable[..., Any]) -> None:
    job = await new_job()
    await job.run()
    folder = job.folder.path
    (folder / "lamp-1.key.pem").write_bytes((folder / "lamp-2.key.pem").read_bytes())
    (folder / "lamp-2.cert.pem").unlink()
    (folder / "lamp-3.key.pem").chmod(0o644)
    (folder / "stranger.key.pem").write_text("")
    (folder / "work" / "lamp-9.key.pem").write_text("")
    lines = (folder / "manifest.jsonl").read_text().splitlines()
    (folder / "manifest.jsonl").write_text("\n".join([*lines, lines[3], ""]))
    (folder / "manifest.csv").unlink()
    problems = "\n".join(Verification(folder, DecryptionSecrets(), []).problems())
    for problem in (
        "lamp-1.key.pem: its content is not what the manifest says",
        "lamp-2.cert.pem: it is missing",
        "lamp-3.key.pem: others than its owner can read it",
        "stranger.key.pem: no line of the manifest names it",
        "work/lamp-9.key.pem: the job is not finished",
        "the thing lamp-4 is in 2 lines of the manifest",
        "issuers.pem is missing: give the CA certificates with --issuers",
    ):
        assert problem in problems, problems


async def test_a_folder_that_is_not_finished_says_so(tmp_path: Path) -> None:
    def problems() -> list[str]:
        return list(Verification(tmp_path, DecryptionSecrets(), []).problems())

    assert problems() == ["manifest.jsonl is missing: `thingmint issue` has made none"]
    (tmp_path / "job.json").write_text("{}")
    assert problems() == ["manifest.jsonl is missing: the run is not finished, run its command again"]


@pytest.mark.parametrize(
    ("variables", "ca_file", "expected"),
    [
        (False, None, "of the data directory"),
        (True, "beside/ca.pem", "beside the CA file"),
        (True, "elsewhere/ca.pem", None),
        (True, None, None),
    ],
)
def test_issuers_are_those_of_the_service_that_is_called(
    tmp_path: Path, variables: bool, ca_file: str | None, expected: str | None
) -> None:
    for folder, text in (("data", "of the data directory"), ("beside", "beside the CA file")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "device-ca.pem").write_text(text)
    connection = Connection(
        endpoint="https://127.0.0.1:1",
        ca_file=None if ca_file is None else str(tmp_path / ca_file),
        region="us-east-1",
        access_key_id="id",
        secret_access_key="secret",
        session_token=None,
        is_of_variables=variables,
    )
    write_issuers(load_config({"data_dir": str(tmp_path / "data")}, {}), connection, tmp_path)
    written = tmp_path / "issuers.pem"
    assert (written.read_text() if written.exists() else None) == expected
