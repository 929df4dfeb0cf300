"""Verifies a log of many leaves in a process of its own, and makes and hashes the same leaves; prints seconds."""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from bench.filling_log import LEAVES_OF_A_CERTIFICATE, fill
from thingmint.core.transparency.leaf import LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.merkle import leaf_hash, root_of
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.records.log.entries import entries_between
from thingmint.registration.kernel.ports import Store
from thingmint.registration.log.identity import LogIdentity, open_log
from thingmint.registration.log.sequencing import sequence_all
from thingmint.registration.log.verification import verify
from thingmint.registration.log.verified import Evidence
from thingmint.signers.log_key import LogKeySigner
from thingmint.storage import open_store

ROUNDS = 3
_PAGE = 5000


async def main(directory: Path, leaves: int) -> None:
    """Fill a log, then measure."""
    store = await open_store(None, directory, observe=lambda _kind, _seconds: None)
    await store.close()
    fill(directory, leaves)
    store = await open_store(None, directory, observe=lambda _kind, _seconds: None)
    log = await open_log(store, Sealer(bytes(32), os.urandom), LogKeySigner, "bench/log", os.urandom)
    await sequence_all(store, log)
    entries = await _entries(store)
    seen: dict[str, list[float]] = {"verify_s": [], "leaves_s": [], "hashes_s": []}
    contents = [leaf_of(entry, salt_of(log.salt_secret, entry.position)) for entry in entries]
    for _ in range(ROUNDS):
        seen["verify_s"].append(await _verify_s(store, log))
        seen["leaves_s"].append(_cpu_s(lambda: root_of(_hashes(log, entries))))
        seen["hashes_s"].append(_cpu_s(lambda: root_of([leaf_hash(each) for each in contents])))
    await store.close()
    sys.stdout.write(json.dumps(seen | {"certificates": leaves // LEAVES_OF_A_CERTIFICATE}))


async def _entries(store: Store) -> list[LoggedEntry]:
    entries = list[LoggedEntry]()
    position = 0
    while page := await store.read(partial(entries_between, position + 1, 2**62, _PAGE)):
        entries += page
        position = page[-1].position
    return entries


async def _verify_s(store: Store, log: LogIdentity) -> float:
    began = time.process_time()
    verified = await store.read(lambda: verify(Evidence(log.salt_secret, is_signed)))
    if verified.findings:
        raise RuntimeError(verified.findings[0])
    return time.process_time() - began


def _hashes(log: LogIdentity, entries: list[LoggedEntry]) -> list[bytes]:
    return [leaf_hash(leaf_of(entry, salt_of(log.salt_secret, entry.position))) for entry in entries]


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
