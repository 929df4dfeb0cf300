"""Owns the search of a registry for certificates of a job: those whose answer was lost, and duplicates.

A certificate belongs to the job if its public key is that of a key in the folder. The search skips certificates that
are in the folder by their ids, and reads only the others.
"""

from collections.abc import AsyncIterator, Iterable

from thingmint.cli.issuing.folder import Folder, Job, public_key_sha256
from thingmint.cli.issuing.registrar import Registered, Registrar
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.parsing import certificate_in_der


async def find_lost(
    folder: Folder, job: Job, registrar: Registrar, in_doubt: Iterable[int]
) -> AsyncIterator[tuple[int, Registered]]:
    """Yield each identity in doubt that has a certificate in the registry once, with that certificate."""
    wanted = _by_public_key(folder, in_doubt)
    async for registered, fingerprint in _strangers(folder, job, registrar):
        if (index := wanted.pop(fingerprint, None)) is not None:
            yield index, registered
        if not wanted:
            return


async def discard_doubles(folder: Folder, job: Job, registrar: Registrar) -> None:
    """Delete the registry's certificates of identities that were requested again, except those in the folder."""
    owners = _by_public_key(folder, job.asked_again)
    async for registered, fingerprint in _strangers(folder, job, registrar):
        if fingerprint in owners:
            await registrar.discard(certificate_id_of(registered.der))


def _by_public_key(folder: Folder, indexes: Iterable[int]) -> dict[str, int]:
    return {public_key_sha256(folder.read_key(index).public_key()): index for index in indexes}


async def _strangers(folder: Folder, job: Job, registrar: Registrar) -> AsyncIterator[tuple[Registered, str]]:
    """Yield certificates registered since the job began that are not in the folder, with their keys' fingerprints."""
    own = {folder.certificate_id(index) for index in folder.complete()}
    fence = frozenset(job.fence)
    async for certificate_id in registrar.newest_first():
        if certificate_id in fence:
            return
        # Another client may have deleted a listed certificate.
        if certificate_id not in own and (registered := await registrar.find(certificate_id)) is not None:
            certificate = certificate_in_der(registered.der)
            yield registered, public_key_sha256(certificate.public_key())
