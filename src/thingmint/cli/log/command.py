"""`thingmint log`: shows an operator the verifiable log: its checkpoint, proofs, and contradictions."""

import asyncio
import base64
import json
import sys
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

import click

from thingmint.cli.log.files import ExportFolder, lines_of_archives
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest, ThingmintError
from thingmint.core.identifiers import CertificateId, certificate_arn, certificate_id_of
from thingmint.core.transparency.checkpoint import CheckpointInvalid
from thingmint.core.transparency.growing_tree import TreeDamaged
from thingmint.core.transparency.merkle import ProofInvalid
from thingmint.core.transparency.proof import proof_text
from thingmint.data_directory.files import whole_folder
from thingmint.host.given_files import read_given
from thingmint.issuance.foreign.certificate import load_foreign_pem
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.registration.log.exported import LineUnreadable, leaves_of_lines
from thingmint.registration.log.exporting import export
from thingmint.registration.log.identity import LogIdentity
from thingmint.registration.log.reading import LeafProof, present_state, proven_resource
from thingmint.registration.log.sequencing import sequence_all
from thingmint.registration.log.verification import verify_store
from thingmint.registration.log.verified import Evidence, Verified
from thingmint.service.backup.checkpoints import checkpoint_of
from thingmint.service.opening import Registry, registry_beside_service
from thingmint.service.public.transparency import open_log_of
from thingmint.settings.config import Config, StartRefused

T = TypeVar("T")
_ERRORS = (StartRefused, ThingmintError, OSError, CheckpointInvalid, TreeDamaged, LineUnreadable, ProofInvalid)
_CERTIFICATE_ID = frozenset("0123456789abcdef")


def show_checkpoint(config: Config, *, only_key: bool) -> None:
    """Print the signed checkpoint, or the key that verifies it."""

    async def work(registry: Registry, log: LogIdentity) -> str:
        await sequence_all(registry.store, log)
        state = await registry.store.read(present_state)
        return f"{state.key.text}\n" if only_key else state.checkpoint

    click.echo(_with_log(config, work), nl=False)


def show_proofs(config: Config, certificate: str, *, as_json: bool) -> None:
    """Verify and print a proof for each leaf of a certificate."""

    async def work(registry: Registry, log: LogIdentity) -> tuple[str, list[LeafProof]]:
        arn = certificate_arn(registry.scope, _certificate_id(certificate))
        await sequence_all(registry.store, log)
        state, proofs = await registry.store.read(lambda: proven_resource(arn, log.salt_secret))
        return state.checkpoint, proofs

    checkpoint, proofs = _with_log(config, work)
    texts = [proof_text(proof.leaf, proof.index, proof.hashes, checkpoint) for proof in proofs]
    if as_json:
        shown = [
            {"index": proof.index, "leaf": json.loads(proof.leaf), "proof": text}
            for proof, text in zip(proofs, texts, strict=True)
        ]
        click.echo(json.dumps(shown, indent=2))
        return
    click.echo("\n".join(texts), nl=False)


def export_log(config: Config, folder: Path) -> None:
    """Write the files that an auditor needs into a new folder."""
    if folder.exists():
        fail(f"{folder} exists already: an export goes into a folder of its own")

    async def work(registry: Registry, log: LogIdentity) -> int:
        await sequence_all(registry.store, log)
        with whole_folder(folder) as unfinished:
            return await registry.store.read(lambda: export(log.salt_secret, ExportFolder(unfinished)))

    size = _with_log(config, work)
    click.echo(f"{folder}: {size} leaves")


def verify_log(config: Config, against: Sequence[Path], archives: Sequence[Path], *, as_json: bool) -> None:
    """Verify the log, the audit trail and the registry; end with exit code 1 if they contradict each other."""

    async def work(registry: Registry, log: LogIdentity) -> Verified:
        def archive() -> Iterator[tuple[int, bytes]]:
            return leaves_of_lines(lines_of_archives(archives))

        earlier = [checkpoint_of(path) for path in against]
        evidence = Evidence(log.salt_secret, is_signed, archive, earlier, _progress())
        return await verify_store(registry.store, evidence)

    verified = _with_log(config, work)
    if as_json:
        click.echo(json.dumps(_shown(verified), indent=2))
    else:
        for line in _lines(verified):
            click.echo(line)
    if verified.findings:
        sys.exit(1)


def _certificate_id(given: str) -> CertificateId:
    """Return the given id, or that of the certificate in the given file; raise InvalidRequest for neither."""
    if len(given) == 64 and set(given) <= _CERTIFICATE_ID:
        return CertificateId(given)
    path = Path(given)
    if not path.is_file():
        raise InvalidRequest(f"{given} is neither the id of a certificate nor a file with one")
    return certificate_id_of(load_foreign_pem(read_given(path).decode("utf-8", errors="replace"), given).der)


def _progress() -> Callable[[int, int], None]:
    if not sys.stderr.isatty():
        return lambda _done, _all: None

    def show(done: int, total: int) -> None:
        if done % 25_600 == 0 or done == total:
            click.echo(f"\r{done:,} of {total:,} leaves", err=True, nl=done == total)

    return show


def _lines(verified: Verified) -> Iterator[str]:
    yield from verified.findings
    for text in verified.reactivations:
        yield f"note: {text}"
    if verified.pruned:
        yield f"note: the entries of {verified.pruned} leaves were archived and removed from the audit trail"
    if verified.waiting:
        yield f"note: {verified.waiting} entries have no leaf yet"
    compared = f"{verified.key.origin}: {verified.head.size} leaves and {verified.certificates} certificates compared"
    yield f"{compared}: {f'{len(verified.findings)} findings' if verified.findings else 'all of it agrees'}"


def _shown(verified: Verified) -> dict[str, object]:
    return {
        "origin": verified.key.origin,
        "size": verified.head.size,
        "root": base64.b64encode(verified.head.root).decode(),
        "certificates": verified.certificates,
        "pruned": verified.pruned,
        "waiting": verified.waiting,
        "reactivations": verified.reactivations,
        "findings": verified.findings,
    }


def _with_log(config: Config, work: Callable[[Registry, LogIdentity], Awaitable[T]]) -> T:
    async def run() -> T:
        async with registry_beside_service(config) as registry:
            return await work(registry, await open_log_of(registry))

    try:
        return asyncio.run(run())
    except _ERRORS as error:
        fail(in_words(error))
