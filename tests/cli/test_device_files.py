"""Names and formats of a device's files, judged by OpenSSL and a C compiler."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cli.test_issuing_folder import der_for
from tests.support.certificates.slow_keys import sealed_slowly
from tests.support.machine.required import require

from thingmint.cli.devices.delivered import DecryptionSecrets, read_delivered
from thingmint.cli.devices.device import ListRefused
from thingmint.cli.devices.file_names import check_pattern, file_stem
from thingmint.cli.devices.formats import FORMATS, DeviceIdentity, files_of
from thingmint.cli.devices.recipients import enveloped, opened, read_recipient
from thingmint.cli.issuing.station_keys import CurveKeys, load_station_key, signing_request
from thingmint.cli.terminal.tables import table
from thingmint.issuance.keys.key_pairs import KeyPair

PASSPHRASE = b"a passphrase of the line"


@pytest.fixture
def identity(key_pairs: tuple[KeyPair, ...]) -> DeviceIdentity:
    """A certificate and its RSA key."""
    pair = key_pairs[0]
    return DeviceIdentity("lamp-1", der_for(pair, 7), load_station_key(pair.private_key_pem), PASSPHRASE)


def written(folder: Path, identity: DeviceIdentity, *formats: str) -> list[Path]:
    paths = []
    for file in files_of(identity, formats):
        paths.append(folder / f"lamp-1{file.ending}")
        paths[-1].write_bytes(file.content)
    return paths


def test_every_format_holds_the_certificate_and_its_key(tmp_path: Path, identity: DeviceIdentity) -> None:
    assert identity.key is not None
    for format_ in FORMATS:
        held = [read_delivered(path, DecryptionSecrets(PASSPHRASE)) for path in written(tmp_path, identity, format_)]
        assert {each.certificate for each in held} - {None} == {identity.der}
        keys = [each.public_key for each in held if each.public_key is not None]
        # The private key in PEM is written before there is a certificate.
        assert keys == ([] if format_ == "pem" else [identity.key.public_key()])


def test_openssl_reads_what_it_has_a_tool_for(tmp_path: Path, identity: DeviceIdentity) -> None:
    written(tmp_path, identity, "der", "p12", "combined")
    (tmp_path / "passphrase").write_bytes(PASSPHRASE)

    def openssl(*arguments: str) -> str:
        return subprocess.run(["openssl", *arguments], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    modulus = openssl("x509", "-in", "lamp-1.cert.der", "-inform", "DER", "-noout", "-modulus")
    assert openssl("rsa", "-in", "lamp-1.key.der", "-inform", "DER", "-noout", "-modulus") == modulus
    assert openssl("rsa", "-in", "lamp-1.pem", "-noout", "-modulus") == modulus
    shown = openssl("pkcs12", "-in", "lamp-1.p12", "-passin", "file:passphrase", "-nodes")
    assert "friendlyName: lamp-1" in shown
    assert "BEGIN PRIVATE KEY" in shown
    refused = subprocess.run(
        ["openssl", "pkcs12", "-in", "lamp-1.p12", "-passin", "pass:wrong", "-nodes"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert refused.returncode != 0


def test_c_compiler_reads_the_header(tmp_path: Path, identity: DeviceIdentity) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc")
    require(compiler, "there is no C compiler")
    written(tmp_path, identity, "c-header")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "lamp-1.h"\n#include "lamp-1.h"\nint main(void) {\n'
        "  fwrite(device_certificate_der, 1, device_certificate_der_len, stdout);\n"
        "  return device_private_key_der_len == sizeof device_private_key_der ? 0 : 1;\n}\n"
    )
    assert compiler is not None
    subprocess.run([compiler, "-Wall", "-Werror", "-o", "main", "main.c"], cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout == identity.der


def test_private_keys_are_in_no_representation(identity: DeviceIdentity) -> None:
    shown = repr(identity) + repr(files_of(identity, tuple(FORMATS)))
    assert "PRIVATE" not in shown
    assert "passphrase" not in shown


def recipient(folder: Path) -> Path:
    """Return a new recipient's certificate, whose key is beside it."""
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -keyout recipient.key -out recipient.pem -subj /CN=flash -days 9",
        shell=True,
        cwd=folder,
        capture_output=True,
        check=True,
    )
    return folder / "recipient.pem"


def test_openssl_opens_what_is_for_the_recipient(tmp_path: Path) -> None:
    certificate = read_recipient(recipient(tmp_path))
    (tmp_path / "secret").write_bytes(enveloped(b"line\nline\r\n\0end", certificate))
    assert b"line" not in (tmp_path / "secret").read_bytes()
    shown = subprocess.run(
        "openssl cms -decrypt -inform DER -in secret -inkey recipient.key -recip recipient.pem -binary",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    ).stdout
    assert shown == b"line\nline\r\n\0end"
    key = serialization.load_pem_private_key((tmp_path / "recipient.key").read_bytes(), None)
    assert opened((tmp_path / "secret").read_bytes(), certificate, key) == shown  # type: ignore[arg-type]  # RSA, see above


def test_recipient_without_an_rsa_key_is_refused(tmp_path: Path) -> None:
    subprocess.run(
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout k -out c.pem -subj /CN=x",
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        check=True,
    )
    with pytest.raises(ListRefused, match="must be RSA with 2048 bits or more"):
        read_recipient(tmp_path / "c.pem")
    (tmp_path / "junk").write_bytes(b"junk")
    with pytest.raises(ListRefused, match="is no certificate"):
        read_recipient(tmp_path / "junk")


@pytest.mark.parametrize(("key_type", "curve"), [("ec-p256", "secp256r1"), ("ec-p384", "secp384r1")])
async def test_station_makes_keys_on_curves(key_type: str, curve: str) -> None:
    pairs = [await CurveKeys(key_type).take() for _ in range(2)]
    key = load_station_key(pairs[0].private_key_pem)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    assert key.curve.name == curve
    assert pairs[0].public_key_der != pairs[1].public_key_der
    request = x509.load_pem_x509_csr(signing_request(key, x509.Name([])).encode())
    assert request.is_signature_valid
    assert request.public_key() == key.public_key()


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("device", "neither {thing} nor {serial}"),
        ("{batch}", "neither"),
        ("{thing", "a brace that does not fit"),
        ("{name}", "has {name}; there are thing, serial"),
        ("{thing.__class__}", "has {thing.__class__}"),
        ("{thing!r}", "a format or a conversion"),
        ("{thing:>1000000000}", "a format or a conversion"),
        ("{}", "has {}"),
    ],
)
def test_patterns_that_name_no_file_of_a_device_are_refused(pattern: str, message: str) -> None:
    with pytest.raises(ListRefused, match=message.replace("{", r"\{").replace("}", r"\}")):
        check_pattern(pattern)


@pytest.mark.parametrize("pattern", ["{thing}", "{serial}", "{station}-{line}", "a_{thing}.{batch}"])
def test_patterns_with_something_of_the_device_are_good(pattern: str) -> None:
    check_pattern(pattern)


@pytest.mark.parametrize("station", ["../x", "/etc/x", "", "-x", ".x", "x\n", "x" * 200, "a b", "ü"])
def test_names_that_are_not_safe_on_every_system_are_refused(station: str) -> None:
    with pytest.raises(ValueError, match="is refused"):
        file_stem("{station}/{thing}" if not station else "{station}{thing}", {"thing": "lamp", "station": station})


@pytest.mark.parametrize("name", ["job", "Manifest", "journal", "work", "issuers", "errors"])
def test_names_of_the_folders_own_files_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is refused"):
        file_stem("{thing}", {"thing": name})


def test_spreadsheets_evaluate_no_cell() -> None:
    assert table(["a"], [["=1"], ["+1"], ["-1"], ["@x"], ["x"], [None], [("a", "b")], [{"k": "v"}]]).decode() == (
        "a\n'=1\n'+1\n'-1\n'@x\nx\n\"\"\na;b\nk=v\n"
    )


def test_what_cannot_be_opened_or_never_ends_is_a_problem_of_its_file(tmp_path: Path) -> None:
    sealed = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
    )
    (tmp_path / "lamp-1.key.pem").write_bytes(sealed)
    with pytest.raises(ValueError, match=r"[Pp]assword"):
        read_delivered(tmp_path / "lamp-1.key.pem", DecryptionSecrets())
    os.mkfifo(tmp_path / "lamp-2.cert.pem")
    (tmp_path / "lamp-3.cert.pem").symlink_to("/dev/zero")
    for name in ("lamp-2.cert.pem", "lamp-3.cert.pem"):
        with pytest.raises(ValueError, match="it is no regular file"):
            read_delivered(tmp_path / name, DecryptionSecrets())


def test_a_delivered_key_whose_opening_takes_minutes_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sensor-1.p12").write_bytes(sealed_slowly("PKCS#12"))
    with pytest.raises(ValueError, match="more than 10,000,000 rounds"):
        read_delivered(tmp_path / "sensor-1.p12", DecryptionSecrets(b"passphrase"))
