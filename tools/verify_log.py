"""Verifies an export of Thingmint's log without Thingmint: Python's standard library, and OpenSSL for one signature.
Written from RFC 6962, C2SP's tlog-tiles, tlog-checkpoint and signed-note, and docs/explanation/verifiable-log.md.
Python cannot verify Ed25519, so the command `openssl` (3.0 or later) does; without it, this fails.

    thingmint log export FOLDER
    python tools/verify_log.py FOLDER --key "$(cat key-from-a-safe-place)" --earlier checkpoint-of-last-year
"""

import argparse
import base64
import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

Row = tuple[str, str, str]

FACTS = re.compile(
    "ca_certificate_id|certificate_id|default_version|document_sha256|issuer_id|mode|previous_status|previous_version"
    "|serial_number|source_account|status|target_account|version"
)
PRIVATE = ("principal_arn", "source_address", "request_id", "resource", "detail")
findings: list[str] = []


def find(text: str) -> None:
    findings.append(text)
    print(text)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def leaf_of(entry: dict[str, Any]) -> bytes:
    """The content of a leaf, version 1, from the entry of the audit trail that an export holds."""
    subject = re.fullmatch(r"arn:[a-z-]+:iot:[^:]*:[^:]*:((?:cert|cacert)/[0-9a-f]{64})", entry["resource"])
    told = json.loads(entry["detail"]).items()
    public = {name: value for name, value in told if FACTS.fullmatch(name) and isinstance(value, str)}
    facts = {name: value for name, value in public.items() if re.fullmatch(r"[A-Za-z0-9_.:-]{0,128}", value)}
    private = compact([entry[name] for name in PRIVATE]).encode()
    leaf: dict[str, Any] = {"v": 1, **{name: entry[name] for name in ("at", "account", "region", "action")}}
    leaf |= {"subject": subject[1] if subject else "", "facts": facts}
    return compact(leaf | {"private": sha256(bytes.fromhex(entry["salt"]), private).hex()}).encode()


def root_of(hashes: Sequence[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, of leaf hashes."""
    level = list(hashes)
    while len(level) > 1:
        pairs = [sha256(b"\x01", level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
        level = pairs + level[len(pairs) * 2 :]
    return level[0] if level else sha256()


def tile_path(level: int, number: int, width: int) -> str:
    digits = str(number).zfill(-(-len(str(number)) // 3) * 3)
    groups = [digits[at : at + 3] for at in range(0, len(digits), 3)]
    name = "/".join([*(f"x{group}" for group in groups[:-1]), groups[-1]])
    return f"tile/{level}/{name}" + ("" if width == 256 else f".p/{width}")


def read_tiles(folder: Path, level: int, count: int) -> list[bytes]:
    """The hashes of a level of tiles; a tile that is missing or of another width is a finding."""
    hashes = []
    for number in range(-(-count // 256)):
        width = min(256, count - number * 256)
        path = folder / tile_path(level, number, width)
        tile = path.read_bytes() if path.is_file() else b""
        if len(tile) != width * 32:
            find(f"log tile {number} of level {level}: was removed, or has not {width} hashes")
            tile = bytes(width * 32)
        hashes += [tile[at : at + 32] for at in range(0, len(tile), 32)]
    return hashes


def read_checkpoint(text: str, key: str) -> tuple[int, bytes]:
    """Size and root of a signed checkpoint; the signature is verified by OpenSSL."""
    name, key_id, encoded = key.strip().split("+", 2)
    public_key = base64.b64decode(encoded)
    expected = sha256(name.encode(), b"\n", public_key)[:4]
    if public_key[:1] != b"\x01" or expected.hex() != key_id:
        sys.exit("the key is not an Ed25519 key of signed notes")
    body, _, signatures = text.rpartition("\n\n")
    origin, size, root = body.split("\n")[:3]
    lines = [line.split(" ") for line in signatures.splitlines()]
    signed = [base64.b64decode(line[2]) for line in lines if line[:2] == ["—", name] and len(line) == 3]
    own = [each[4:] for each in signed if each[:4] == expected]
    if origin != name or not any(is_signed(public_key[1:], f"{body}\n".encode(), each) for each in own):
        find(f"checkpoint of {size} leaves: is not signed by {name}, or the command openssl could not verify it")
    return int(size), base64.b64decode(root)


def is_signed(public_key: bytes, body: bytes, signature: bytes) -> bool:
    # RFC 8410: the SubjectPublicKeyInfo of an Ed25519 key is these 12 bytes and the key.
    der = bytes.fromhex("302a300506032b6570032100") + public_key
    with tempfile.TemporaryDirectory() as folder:
        for name, content in (("key", der), ("body", body), ("signature", signature)):
            Path(folder, name).write_bytes(content)
        command = "openssl pkeyutl -verify -pubin -keyform DER -inkey key -rawin -in body -sigfile signature"
        try:
            done = subprocess.run(command.split(), cwd=folder, capture_output=True, check=False)
        except FileNotFoundError:
            return False
    return done.returncode == 0


def replay(present: dict[Row, tuple[str, object]], index: object, leaf: bytes) -> None:
    """Follow what a leaf says of a certificate: present is account, region and name -> status and leaf."""
    told = json.loads(leaf)
    facts, action = told["facts"], told["action"]
    name = f"cert/{facts['certificate_id']}" if facts.get("certificate_id") else told["subject"]
    if not name or "status" not in facts:
        return
    row = (told["account"], told["region"], name)
    accepted = action == "AcceptCertificateTransfer"
    if action in ("DeleteCertificate", "DeleteCACertificate") or (accepted and row[0] == facts["source_account"]):
        present.pop(row, None)
    elif "source_account" not in facts or row[0] == facts["target_account" if accepted else "source_account"]:
        if present.get(row, ("", 0))[0] == "REVOKED" != facts["status"]:
            print(f"note: {name} of {row[0]} was REVOKED and became {facts['status']} with leaf {index}")
        present[row] = (facts["status"], index)


def lines_of(*paths: Path) -> Iterator[dict[str, Any]]:
    for path in paths:
        with path.open(encoding="utf-8") as file:
            yield from map(json.loads, file)


def main() -> int:
    parser = argparse.ArgumentParser(description="Verify an export of Thingmint's log.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--key", help="what `thingmint log checkpoint --key` printed; not the one in the folder")
    parser.add_argument("--archive", type=Path, action="append", default=[], help="archives of `audit prune`")
    parser.add_argument("--earlier", type=Path, action="append", default=[], help="checkpoints from before")
    given = parser.parse_args()
    folder, level = given.folder, 0
    key = given.key or (folder / "key").read_text()
    size, root = read_checkpoint((folder / "checkpoint").read_text(), key)
    hashes = below = read_tiles(folder, 0, size)
    while len(below) >= 256:
        above = [root_of(below[at : at + 256]) for at in range(0, len(below) - 255, 256)]
        level += 1
        for number, each in enumerate(read_tiles(folder, level, len(above))):
            if each != above[number]:
                find(f"log tile {number // 256} of level {level}: was changed: hash {number % 256} is another one")
        below = above
    if root_of(hashes) != root:
        find("the tiles do not lead to the root of the signed checkpoint")
    for path in given.earlier:
        old_size, old_root = read_checkpoint(path.read_text(), key)
        if old_size > size or root_of(hashes[:old_size]) != old_root:
            find(f"{path}: the log does not go on from this checkpoint of {old_size} leaves")
    present: dict[Row, tuple[str, object]] = {}
    seen, waiting, is_whole = set(), [], True
    for entry in lines_of(*given.archive, folder / "entries.jsonl"):
        index, leaf = entry["index"], leaf_of(entry)
        if index is None:
            waiting.append(leaf)
        elif index in seen or index >= size or sha256(b"\x00", leaf) != hashes[index]:
            find(f"audit entry {entry['position']}: was changed or inserted: it is not leaf {index}")
            is_whole = False
        else:
            replay(present, index, leaf)
        seen.add(index)
    for index in sorted(set(range(size)) - seen)[:1000]:
        find(f"leaf {index}: its audit entry was removed, or is in an archive that was not given")
        is_whole = False
    for leaf in waiting:
        replay(present, "without a place yet", leaf)
    for row in lines_of(folder / "registry.jsonl"):
        name, digest = f"{row['kind']}/{row['id']}", hashlib.sha256(base64.b64decode(row["der"])).hexdigest()
        status, index = present.pop((row["account"], row["region"], name), ("", None))
        if digest != row["id"]:
            find(f"{name} of {row['account']}: was changed: it holds another certificate")
        if not status:
            found = "was inserted: no leaf" if is_whole else "cannot be compared: no leaf that can be read"
            find(f"{name} of {row['account']}: {found} tells of it")
        elif status != row["status"]:
            find(f"{name} of {row['account']}: was changed: its status is {row['status']}, leaf {index} says {status}")
    for (account, _, name), (status, index) in present.items():
        find(f"{name} of {account}: was removed: leaf {index} says {status}, and no leaf its deletion")
    print(f"{size} leaves: {f'{len(findings)} findings' if findings else 'all of it agrees'}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
