"""Owns how a job begins or is taken up again: what must be the same as before, and where a search will end."""

from msgspec import structs

from thingmint.cli.issuing.folder import Folder, FolderRefused, Job
from thingmint.cli.issuing.registrar import Registrar

# Several, because some of them may be deleted while the job lasts.
_FENCE = 20
_WITNESSES = 3


async def begin(folder: Folder, registrar: Registrar, *, count: int, active: bool) -> Job:
    """Return the job of the folder, recorded there; raise FolderRefused if another one was begun in it."""
    job = folder.read_job()
    if job is None:
        job = Job(count, active, await _newest(registrar), registrar.trust_anchor_sha256)
    else:
        _require_same_order(folder, job, count=count, active=active)
        await _require_same_registry(folder, job, registrar)
        if not folder.in_doubt() and not job.asked_again:
            # Nothing is in doubt, so a search would have to look at certificates from now on only.
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


async def _require_same_registry(folder: Folder, job: Job, registrar: Registrar) -> None:
    """Refuse to go on with another service, account or region: the identities would be split between the two."""
    complete = folder.complete()
    # From the middle and both ends: an operator who deletes certificates may begin at either.
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
