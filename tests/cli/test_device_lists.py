"""Lists of devices: what spreadsheets write, what goes wrong on the way, and that good rows go on beside bad ones."""

import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.support.certificates.signing_requests import csr_pem

from thingmint.cli.devices.csr_directory import rows_of_requests, with_requests
from thingmint.cli.devices.device import ListedDevice, ListRefused, Row
from thingmint.cli.devices.lists import read_list


def rows_of(tmp_path: Path, content: str | bytes, name: str = "devices.csv") -> list[Row]:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_list(path)


def problems(rows: list[Row]) -> dict[int, str]:
    return {row.line: row.problem for row in rows if row.problem is not None}


def test_every_column_is_read(tmp_path: Path) -> None:
    header = "thing,type,groups,policy,subject,attribute.site,attribute.min,parameter.Colour"
    (row,) = rows_of(tmp_path, f'{header}\nlamp-1,lamp,"a;b",connect,"CN=lamp-1,O=Acme",berlin,-40.5,red\n')
    assert row.device == ListedDevice(
        thing="lamp-1",
        type="lamp",
        groups=("a", "b"),
        policies=("connect",),
        subject="CN=lamp-1,O=Acme",
        attributes={"site": "berlin", "min": "-40.5"},
        parameters={"Colour": "red"},
    )


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_delimiters_line_ends_and_byte_order_marks_of_spreadsheets(
    tmp_path: Path, delimiter: str, end: str, mark: bytes
) -> None:
    text = end.join([delimiter.join(("thing", "attribute.site")), delimiter.join(("lamp", "berlin")), ""])
    (row,) = rows_of(tmp_path, mark + text.encode())
    assert row.device == ListedDevice(thing="lamp", attributes={"site": "berlin"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("thing\nlümp\n".encode("latin-1"), "line 2: not UTF-8"),
        ("thing\nlamp\n".encode("utf-16"), "is UTF-16: save it as UTF-8"),
        ("thing\nlamp\n".encode("utf-16-be").join([b"\xfe\xff", b""]), "is UTF-16"),
        (b"thing\nla\0mp\n", "line 2: a NUL character"),
        (b"", "the column thing is missing"),
        (b"thing\n", "has no rows"),
        (b"thing,colour\nlamp,red\n", "unknown column 'colour'; the columns are thing, "),
        (b"thing,thing_name\nlamp,lamp\n", "the column 'thing_name' is there twice"),
        (b"type\nlamp\n", "the column thing is missing"),
        (b'thing,type\nlamp,"never ends\nlamp-2,x\n', "unexpected end of data"),
        (b"thing\n" + b"x" * 10_000 + b"\n", "field larger than field limit"),
    ],
)
def test_file_that_is_doubtful_as_a_whole_is_refused(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(ListRefused, match=message):
        rows_of(tmp_path, content)


def test_truncated_lines_and_doubled_names_are_named_and_the_others_stand(tmp_path: Path) -> None:
    rows = rows_of(tmp_path, "thing,type\nlamp-1,a\nlamp-2\nLamp-1,a\n\nlamp-3,a,b\nlamp-4,\n")
    assert [row.thing for row in rows if row.device is not None] == ["lamp-4"]
    assert problems(rows) == {
        2: "the name is in line 4, too (upper and lower case count as one)",
        3: "1 cells, and the header has 2: a truncated line?",
        4: "the name is in line 2, too (upper and lower case count as one)",
        6: "3 cells, and the header has 2: a truncated line?",
    }


@pytest.mark.parametrize("cell", ["=1+1", "+1", "@SUM(A1)", "-1-1", "-x", '"\tx"'])
def test_formula_is_refused_in_csv_and_kept_in_json_lines(tmp_path: Path, cell: str) -> None:
    rows = rows_of(tmp_path, f"thing,attribute.a\nlamp,{cell}\n")
    assert "begins like a formula of a spreadsheet" in problems(rows)[2]
    line = json.dumps({"thing": "lamp", "attributes": {"a": cell}})
    (row,) = rows_of(tmp_path, line, "devices.jsonl")
    assert row.device == ListedDevice(thing="lamp", attributes={"a": cell})


def test_json_lines_name_what_does_not_fit(tmp_path: Path) -> None:
    lines = [
        '{"thing": "lamp-1", "policy": "connect", "policies": ["more"], "groups": ["a"]}',
        '{"thing": "lamp-2", "colour": "red"}',
        '{"thing": "lamp-3", "attributes": {"a": 1}}',
        '{"thing": "lamp-4"',
        "",
        '{"type": "lamp"}',
    ]
    rows = rows_of(tmp_path, "\n".join(lines), "devices.jsonl")
    assert rows[0].device == ListedDevice(thing="lamp-1", policies=("more", "connect"), groups=("a",))
    found = problems(rows)
    assert sorted(found) == [2, 3, 4, 6]
    assert all(text.startswith("not a device in JSON: ") for text in found.values())


def test_digest_tells_of_every_change() -> None:
    device = ListedDevice(thing="lamp", attributes={"a": "1", "b": "2"})
    assert device.digest == ListedDevice(thing="lamp", attributes={"b": "2", "a": "1"}).digest
    assert device.digest != ListedDevice(thing="lamp", attributes={"a": "1", "b": "3"}).digest


def test_signing_requests_are_read_in_pem_and_der(tmp_path: Path) -> None:
    pem = csr_pem("p-256")
    (tmp_path / "lamp-1.csr").write_text(pem)
    (tmp_path / "lamp-2.der").write_bytes(x509.load_pem_x509_csr(pem.encode()).public_bytes(serialization.Encoding.DER))
    (tmp_path / "lamp-3.pem").write_text("junk")
    rows = rows_of_requests(tmp_path)
    assert [row.thing for row in rows if row.device is not None] == ["lamp-1", "lamp-2"]
    assert list(problems(rows)) == [3]


@pytest.mark.parametrize("encoding", [serialization.Encoding.PEM, serialization.Encoding.DER])
@pytest.mark.parametrize("form", [serialization.PrivateFormat.PKCS8, serialization.PrivateFormat.TraditionalOpenSSL])
def test_directory_with_a_private_key_is_refused_and_the_file_is_named(
    tmp_path: Path, encoding: serialization.Encoding, form: serialization.PrivateFormat
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    (tmp_path / "lamp-1.csr").write_text(csr_pem("p-256"))
    (tmp_path / "lamp-2.pem").write_bytes(key.private_bytes(encoding, form, serialization.NoEncryption()))
    with pytest.raises(ListRefused, match=r"holds private keys: lamp-2\.pem\. They must not leave"):
        rows_of_requests(tmp_path)


def test_private_key_in_the_text_encoding_of_windows_is_found(tmp_path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "lamp-1.csr").write_bytes(pem.decode().encode("utf-16"))
    with pytest.raises(ListRefused, match=r"holds private keys: lamp-1\.csr"):
        rows_of_requests(tmp_path)


def test_requests_and_rows_must_fit_together(tmp_path: Path) -> None:
    request = csr_pem("p-256")
    (tmp_path / "lamp-1.csr").write_text(request)
    rows = [Row(2, "lamp-1", ListedDevice(thing="lamp-1", type="t")), Row(3, "lamp-2", ListedDevice(thing="lamp-2"))]
    joined = with_requests(rows, tmp_path)
    assert joined[0].device is not None
    assert (joined[0].device.type, joined[0].device.csr) == ("t", request)
    assert problems(joined) == {3: "there is no signing request for it"}
    with pytest.raises(ListRefused, match="holds requests for things that are in no row: lamp-1"):
        with_requests(rows[1:], tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ListRefused, match="holds no signing requests"):
        rows_of_requests(tmp_path / "empty")
