"""Owns the issuing of a list of devices: each device once, despite interruptions, lost answers and refusals.

One request creates certificate, thing and attachments in one transaction, and it fails if the thing exists. So a
request may be repeated at any time: the first one that is served creates the device, and all others get a conflict.
After a conflict, the run reads the thing's certificate: if it has the key of this device, the answer was lost.
"""

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from msgspec import structs

from thingmint.cli.connection import ServiceRefused, ServiceUnreachable
from thingmint.cli.devices.device import ListedDevice, Row
from thingmint.cli.devices.file_names import file_stem
from thingmint.cli.devices.folder import DeviceFolder, DeviceJob
from thingmint.cli.devices.formats import DeviceIdentity, files_of
from thingmint.cli.devices.manifest import DeviceEntry
from thingmint.cli.devices.requests import Asked, Requests
from thingmint.cli.issuing.folder import FolderRefused, public_key_sha256
from thingmint.cli.issuing.registrar import DeviceRegistrar, Registered
from thingmint.cli.issuing.retries import RetryLimit
from thingmint.cli.threads import to_its_end
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.parsing import certificate_in_der

# AWS's error names, and this project's error classes, which a registrar without a service raises.
_CONFLICTS = frozenset({"ConflictingResourceUpdateException", "UpdateConflict"})
_REQUEST_TIMEOUT = 408


class RowRefused(Exception):
    """One row cannot be issued; the message says why. The other rows go on."""


class RefusedRow(NamedTuple):
    """A row that was refused, and why."""

    line: int
    thing: str
    reason: str


@dataclass(slots=True)
class DeviceWork:
    """One run of a job. ``on_progress`` receives the number of rows that have succeeded or failed."""

    folder: DeviceFolder
    job: DeviceJob
    registrar: DeviceRegistrar
    requests: Requests
    concurrency: int
    patience: RetryLimit
    on_progress: Callable[[int], None]
    passphrase: bytes | None = field(default=None, repr=False)
    entries: dict[str, DeviceEntry] = field(default_factory=dict)
    refusals: list[RefusedRow] = field(default_factory=list)
    _queue: deque[Row] = field(default_factory=deque)
    _stems: dict[str, str] = field(default_factory=dict)
    _ended: int = 0

    async def run(self, rows: list[Row]) -> None:
        """Issue the devices that are not complete yet; add refused rows to ``refusals``.

        Raises WorkStopped if the service does not answer for the time of ``patience``, ServiceRefused if it refuses the
        caller, FolderRefused and OSError if the folder or its disk cannot be used.
        """
        self.entries = self.folder.open_journal()
        await self.patience.until_answered(self._require_same_registry)
        for entry in self.entries.values():
            self._name_key(entry)
            self._stems |= dict.fromkeys((name.partition(".")[0].casefold() for name in entry.files), entry.thing)
        self._queue.extend(row for row in rows if not self._is_settled(row))
        self._ended = len(rows) - len(self._queue)
        self.on_progress(self._ended)
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(min(self.concurrency, len(self._queue))):
                    group.create_task(self._issue_queued())
        except ExceptionGroup as failures:
            # The first failure has cancelled the other tasks; the command line has a message for it.
            raise failures.exceptions[0] from None

    def _is_settled(self, row: Row) -> bool:
        entry = self.entries.get(row.thing)
        if row.device is None:
            self._refuse(row, row.problem or "no device")
        elif entry is not None and entry.row_sha256 != row.device.digest:
            self._refuse(
                row, f"it was issued from line {entry.line}, which said something else: {entry.certificate_id}"
            )
        return row.device is None or entry is not None

    def _refuse(self, row: Row, reason: str) -> None:
        self.refusals.append(RefusedRow(row.line, row.thing, reason))

    async def _require_same_registry(self) -> None:
        """Raise FolderRefused for another service, account or region: the devices would be split between the two."""
        things = sorted(self.entries)
        for thing in dict.fromkeys([things[0], things[len(things) // 2], things[-1]] if things else []):
            if await self.registrar.find(self.entries[thing].certificate_id) is not None:
                return
        if things or self.job.trust_anchor_sha256 != self.registrar.trust_anchor_sha256:
            raise FolderRefused(
                f"the job in {self.folder.path} was begun with another service, account or region, or its devices were "
                "deleted: choose another folder, or call the service that it was begun with"
            )

    async def _issue_queued(self) -> None:
        while self._queue:
            row = self._queue.popleft()
            assert row.device is not None, "rows without a device are settled"
            try:
                await self._issue(row.line, row.device)
            except RowRefused as refusal:
                self._refuse(row, refusal.args[0])
            self._ended += 1
            self.on_progress(self._ended)

    async def _issue(self, line: int, device: ListedDevice) -> None:
        self._claim_stem(line, device, serial="")
        asked = await self.requests.asked(self.folder, device)
        registered = await self._registered(device, asked)
        self._require_arn_prefix(registered.arn)
        await to_its_end(lambda: self._keep(line, device, asked, registered))
        self.patience.succeeded()

    async def _registered(self, device: ListedDevice, asked: Asked) -> Registered:
        is_known = asked.is_new
        while True:
            try:
                registered = await self.registrar.register_thing(asked.template, asked.parameters)
            except ServiceUnreachable as error:
                # The next attempt shows whether the request was served.
                is_known = False
                self.patience.check(error)
                await asyncio.sleep(self.patience.retry)
                continue
            except ServiceRefused as refusal:
                if refusal.is_throttled or refusal.status >= 500 or refusal.status == _REQUEST_TIMEOUT:
                    is_known = is_known and refusal.is_throttled
                    self.patience.check(refusal)
                    await asyncio.sleep(refusal.retry_after if refusal.is_throttled else self.patience.retry)
                    continue
                if is_known and not refusal.is_about_caller:
                    # No certificate was or can be issued for the key, and a later list may not have the device.
                    self.folder.forget(device.thing, self.requests.staged_ending)
                registered = await self._found_again(device, asked, refusal)
            if _fingerprint(registered.der) != asked.public_key_sha256:
                raise RowRefused("the service answered with a certificate for another key")
            return registered

    async def _found_again(self, device: ListedDevice, asked: Asked, refusal: ServiceRefused) -> Registered:
        if refusal.is_about_caller:
            raise refusal
        if refusal.name not in _CONFLICTS:
            raise RowRefused(refusal.args[0]) from refusal
        ids = await self.patience.until_answered(lambda: self.registrar.certificates_of_thing(device.thing))
        for certificate_id in ids:
            found = await self.patience.until_answered(lambda each=certificate_id: self.registrar.find(each))  # type: ignore[misc]  # a default binds the loop's variable
            if found is not None and _fingerprint(found.der) == asked.public_key_sha256:
                return found
        owner = f" (certificate {ids[0]})" if ids else ""
        raise RowRefused(f"the thing exists already, with another key{owner}") from refusal

    def _require_arn_prefix(self, arn: str) -> None:
        arn_prefix = arn.rpartition("/")[0] + "/"
        if self.job.arn_prefix is None:
            self.job = structs.replace(self.job, arn_prefix=arn_prefix)
            self.folder.write_job(self.job)
        elif self.job.arn_prefix != arn_prefix:
            raise FolderRefused(
                f"the job was begun for {self.job.arn_prefix}… and this service answers as {arn_prefix}…"
            )

    def _claim_stem(self, line: int, device: ListedDevice, serial: str) -> str:
        """Return the name of the device's files, which is unique; raise RowRefused if the name is invalid or taken."""
        order = self.job.order
        values = {"thing": device.thing, "line": str(line), "batch": order.batch or "", "station": order.station or ""}
        try:
            stem = file_stem(order.name, values | {"serial": serial or "serial"})
        except ValueError as error:
            raise RowRefused(error.args[0]) from error
        if "{serial}" in order.name and not serial:
            return stem
        owner = self._stems.setdefault(stem.partition(".")[0].casefold(), device.thing)
        if owner != device.thing:
            raise RowRefused(f"its files would have the names of those of {owner}: {stem}")
        return stem

    def _keep(self, line: int, device: ListedDevice, asked: Asked, registered: Registered) -> None:
        certificate, order = certificate_in_der(registered.der), self.job.order
        serial = f"{certificate.serial_number:x}"
        stem = self._claim_stem(line, device, serial)
        identity = DeviceIdentity(device.thing, registered.der, asked.key, self.passphrase)
        files = files_of(identity, order.formats)
        self.folder.deliver(stem, files)
        digests = {f"{stem}{file.ending}": hashlib.sha256(file.content).hexdigest() for file in files}
        if asked.staged is not None and asked.delivered_ending(order.formats) is not None:
            digests[f"{stem}{asked.delivered_ending(order.formats)}"] = hashlib.sha256(asked.staged).hexdigest()
        entry = self._entry(line, device, asked, registered, digests)
        self.folder.complete(entry)
        self.entries[device.thing] = entry
        self._name_key(entry)

    def _entry(
        self, line: int, device: ListedDevice, asked: Asked, registered: Registered, digests: dict[str, str]
    ) -> DeviceEntry:
        certificate, order = certificate_in_der(registered.der), self.job.order
        return DeviceEntry(
            line=line,
            thing=device.thing,
            thing_arn=f"{registered.arn.rpartition(':')[0]}:thing/{device.thing}",
            certificate_id=certificate_id_of(registered.der),
            certificate_arn=registered.arn,
            serial_number=f"{certificate.serial_number:x}",
            subject=certificate.subject.rfc4514_string(),
            not_before=certificate.not_valid_before_utc.isoformat(),
            not_after=certificate.not_valid_after_utc.isoformat(),
            public_key_sha256=asked.public_key_sha256,
            status=order.status,
            files=digests,
            type=device.type,
            attributes=device.attributes,
            groups=device.groups,
            policies=asked.policies,
            batch=order.batch,
            operator=order.operator,
            station=order.station,
            row_sha256=device.digest,
        )

    def _name_key(self, entry: DeviceEntry) -> None:
        delivered = next((name for name in entry.files if name.endswith(self.requests.staged_ending)), None)
        if delivered is None:
            self.folder.forget(entry.thing, self.requests.staged_ending)
        else:
            self.folder.name_key(entry.thing, self.requests.staged_ending, delivered)


def _fingerprint(der: bytes) -> str:
    return public_key_sha256(certificate_in_der(der).public_key())
