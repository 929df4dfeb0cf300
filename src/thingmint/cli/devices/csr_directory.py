"""Owns the reading of a directory of CSRs from programming stations of secure elements.

A directory that holds a private key is refused as a whole, because the key may have been disclosed.
"""

from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from thingmint.cli.devices.device import ListedDevice, ListRefused, Row, without_doubles
from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest
from thingmint.issuance.csr import load_csr
from thingmint.issuance.encoding.parsing import request_in_der

_SUFFIXES = (".csr", ".pem", ".der", ".p10")
_MAX_BYTES = 65_536
_KEY_SUFFIXES = (".key", ".p12", ".pfx", ".p8", ".pk8", ".jks")
_KEY_MARK = b"PRIVATE KEY-----"


def read_requests(directory: Path) -> dict[str, Row]:
    """Return a row for each CSR by the stem of its file name, which is the thing's name: `sensor-17.csr`.

    Raises ListRefused if the directory is empty or holds a private key or another file that is no CSR; OSError.
    """
    rows: dict[str, Row] = {}
    paths = sorted(path for path in directory.iterdir() if not path.name.startswith("."))
    if keys := [path.name for path in paths if _holds_key(path)]:
        raise ListRefused(
            f"{directory} holds private keys: {', '.join(keys[:5])}{' …' if len(keys) > 5 else ''}. They must not "
            "leave their device or station: remove them, and consider those keys disclosed"
        )
    for line, path in enumerate(paths, start=1):
        if path.suffix.lower() not in _SUFFIXES or not path.is_file():
            raise ListRefused(f"{path} is no signing request: its name ends in {', '.join(_SUFFIXES)}")
        if path.stem in rows:
            raise ListRefused(f"{path} is the second request for {path.stem}")
        rows[path.stem] = _row(line, path)
    if not rows:
        raise ListRefused(f"{directory} holds no signing requests")
    return rows


def rows_of_requests(directory: Path) -> list[Row]:
    """Return a row for each CSR, with only the thing's name and the CSR."""
    return without_doubles(list(read_requests(directory).values()))


def with_requests(rows: list[Row], directory: Path) -> list[Row]:
    """Return the rows of a list, each with the CSR that has the thing's name.

    A row without a CSR has a problem. If a CSR has no row, the whole list is refused, because list and directory do not
    belong together.
    """
    requests = read_requests(directory)
    if strangers := sorted(requests.keys() - {row.thing for row in rows}):
        raise ListRefused(f"{directory} holds requests for things that are in no row: {', '.join(strangers[:5])}")
    return [_with_request(row, requests.get(row.thing)) for row in rows]


def _with_request(row: Row, request: Row | None) -> Row:
    if row.device is None:
        return row
    if request is None:
        return Row(row.line, row.thing, problem="there is no signing request for it")
    if request.device is None:
        return Row(row.line, row.thing, problem=request.problem)
    given = row.device
    if given.subject is not None:
        return Row(row.line, row.thing, problem="the subject of a signing request cannot be changed")
    return Row(
        row.line,
        row.thing,
        ListedDevice(
            thing=given.thing,
            attributes=given.attributes,
            type=given.type,
            groups=given.groups,
            policies=given.policies,
            parameters=given.parameters,
            csr=request.device.csr,
        ),
    )


def _holds_key(path: Path) -> bool:
    if path.suffix.lower() in _KEY_SUFFIXES:
        return True
    return path.is_file() and path.stat().st_size <= _MAX_BYTES and _is_key(path.read_bytes())


def _is_key(content: bytes) -> bool:
    # Shells of Windows write text with two octets for each character.
    if _KEY_MARK in content.replace(b"\0", b""):
        return True
    # In DER, PKCS#8, PKCS#1 and SEC 1 contain a version first, a small INTEGER; a CSR contains a SEQUENCE first.
    is_sequence = content[:1] == b"\x30"
    header = 2 + (content[1] & 0x7F if len(content) > 1 and content[1] & 0x80 else 0)
    return is_sequence and content[header : header + 2] == b"\x02\x01"


def _row(line: int, path: Path) -> Row:
    if path.stat().st_size > _MAX_BYTES:
        return Row(line, path.stem, problem=f"{path.name} is larger than {_MAX_BYTES} bytes")
    content = path.read_bytes()
    try:
        pem = content.decode("ascii") if b"-----BEGIN" in content else _pem(content)
        load_csr(pem)
    except (ValueError, InvalidRequest) as error:
        reason = error.message if isinstance(error, InvalidRequest) else in_words(error)
        return Row(line, path.stem, problem=f"{path.name}: {reason}")
    return Row(line, path.stem, ListedDevice(thing=path.stem, csr=pem))


def _pem(der: bytes) -> str:
    return request_in_der(der).public_bytes(Encoding.PEM).decode()
