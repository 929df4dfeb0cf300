"""Owns the start and the resumption of a job: what must be the same as before, and where a search ends."""

from typing import NamedTuple

from msgspec import structs

from thingmint.cli.issuing.folder import Folder, FolderRefused, Job
from thingmint.cli.issuing.registrar import Registrar
from thingmint.core.provisioning.production import PRODUCTION_PARAMETERS

# Several, because some of these certificates may be deleted during the job.
_FENCE = 20
_WITNESSES = 3


class JobProperties(NamedTuple):
    """The properties of all identities of a job: the key type, and the facts of their production."""

    key_type: str = "rsa-2048"
    batch: str | None = None
    operator: str | None = None
    station: str | None = None

    @property
    def production(self) -> dict[str, str]:
        """The parameters for batch, operator and station."""
        told = self._asdict()
        return {name: value for name, detail in PRODUCTION_PARAMETERS.items() if (value := told[detail]) is not None}


async def begin(
    folder: Folder, registrar: Registrar, *, count: int, active: bool, making: JobProperties | None = None
) -> Job:
    """Return the job of the folder, and record a new one there; raise FolderRefused if the folder has another job."""
    making = making or JobProperties()
    job = folder.read_job()
    if job is None:
        job = Job(count, active, await _newest(registrar), registrar.trust_anchor_sha256, **making._asdict())
    else:
        _require_same_order(folder, job, count=count, active=active)
        _require_same_making(folder, job, making)
        await _require_same_registry(folder, job, registrar)
        if not folder.in_doubt() and not job.asked_again:
            # No identity is in doubt, so a later search needs only the certificates registered from now on.
            job = structs.replace(job, fence=await _newest(registrar))
        job = structs.replace(job, count=count)
    folder.write_job(job)
    return job


def _require_same_order(folder: Folder, job: Job, *, count: int, active: bool) -> None:
    if job.active is not active:
        raise FolderRefused(f"the job in {folder.path} was begun {'with' if job.active else 'without'} --active")
    if job.count > count:
        raise FolderRefused(
            f"the job in {folder.path} was begun for {job.count} identities, which is more than {count}"
        )


def _require_same_making(folder: Folder, job: Job, making: JobProperties) -> None:
    for name, now in making._asdict().items():
        if (before := getattr(job, name)) != now:
            raise FolderRefused(f"the job in {folder.path} was begun with {name} {before!r}, not {now!r}")


async def _require_same_registry(folder: Folder, job: Job, registrar: Registrar) -> None:
    """Raise FolderRefused for another service, account or region: the identities would be split between the two."""
    complete = folder.complete()
    # From the middle and both ends, because an operator may delete certificates beginning at either end.
    chosen = sorted({complete[0], complete[len(complete) // 2], complete[-1]}) if complete else []
    witnesses = [*map(folder.certificate_id, chosen), *job.fence[:_WITNESSES]]
    for certificate_id in witnesses:
        if await registrar.find(certificate_id) is not None:
            return
    if witnesses or job.trust_anchor_sha256 != registrar.trust_anchor_sha256:
        raise FolderRefused(
            f"the job in {folder.path} was begun with another service, account or region, or what it began with was "
            "deleted: choose another folder, or call the service that it was begun with"
        )


async def _newest(registrar: Registrar) -> tuple[str, ...]:
    newest: list[str] = []
    async for certificate_id in registrar.newest_first():
        newest.append(certificate_id)
        if len(newest) == _FENCE:
            break
    return tuple(newest)
