"""Verifies a log of many leaves in a process of its own, and hashes the same leaves alone; prints seconds.

``hashes_s`` is the strictest reading of "hashing them alone": the contents of all leaves are in memory, and become leaf
hashes and the root. ``digests_s`` are all hash functions that the definition of a leaf needs, of inputs in memory: the
salt, the digest of what is private, the leaf and the tree. ``leaves_s`` makes the leaves from entries in memory, too.
``reading_s`` reads the rows of the entries from SQLite and does nothing with them.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import blake2s, sha256
from pathlib import Path

from bench.filling_log import LEAVES_OF_A_CERTIFICATE, fill
from thingmint.core.transparency.leaf import SALT_BYTES, LoggedEntry, leaf_of, salt_of
from thingmint.core.transparency.leaf_hashes import BareEntry, LeafHashes
from thingmint.core.transparency.merkle import leaf_hash, root_of
from thingmint.data_directory.sealing import Sealer
from thingmint.issuance.keys.log_signature import is_signed
from thingmint.records.log.entries import bare_entries_between, entries_between
from thingmint.records.steps import Steps
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
    contents = await _contents(store, log)
    seen: dict[str, list[float]] = {"verify_s": [], "leaves_s": [], "digests_s": [], "hashes_s": [], "reading_s": []}
    for _ in range(ROUNDS):
        seen["verify_s"].append(await _verify_s(store, log))
        seen["hashes_s"].append(_cpu_s(lambda: root_of([leaf_hash(each) for each in contents])))
        seen["digests_s"].append(_cpu_s(lambda: _digest_all(log, contents)) + seen["hashes_s"][-1])
    contents.clear()
    rows = list[BareEntry]()
    for _ in range(ROUNDS):
        rows.clear()
        began = time.process_time()
        rows = await _rows(store)
        seen["reading_s"].append(time.process_time() - began)
        hashing = LeafHashes(log.salt_secret)
        seen["leaves_s"].append(_cpu_s(lambda: root_of(hashing.of(rows)[0])))  # noqa: B023  it is called here
    await store.close()
    sys.stdout.write(json.dumps(seen | {"certificates": leaves // LEAVES_OF_A_CERTIFICATE}))


async def _contents(store: Store, log: LogIdentity) -> list[bytes]:
    contents, position = list[bytes](), 0

    def page() -> Steps[Sequence[LoggedEntry]]:
        return (yield from entries_between(position + 1, 2**62, _PAGE))

    while entries := await store.read(page):
        contents += [leaf_of(entry, salt_of(log.salt_secret, entry.position)) for entry in entries]
        position = entries[-1].position
    return contents


async def _rows(store: Store) -> list[BareEntry]:
    rows, position = list[BareEntry](), 0
    while page := await store.read(partial(bare_entries_between, position + 1, 2**62, _PAGE)):
        rows += page
        position = page[-1][0]
    return rows


def _digest_all(log: LogIdentity, contents: Sequence[bytes]) -> None:
    """Compute a salt and a private digest for each leaf; what is private is as long as the leaf."""
    keyed = blake2s(digest_size=SALT_BYTES, key=log.salt_secret)
    for position, content in enumerate(contents):
        salt = keyed.copy()
        salt.update(position.to_bytes(8, "big"))
        sha256(salt.digest() + content).hexdigest()


async def _verify_s(store: Store, log: LogIdentity) -> float:
    began = time.process_time()
    verified = await store.read(lambda: verify(Evidence(log.salt_secret, is_signed)))
    if verified.findings:
        raise RuntimeError(verified.findings[0])
    return time.process_time() - began


def _cpu_s(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


if __name__ == "__main__":
    Path(sys.argv[1]).mkdir(parents=True)
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
