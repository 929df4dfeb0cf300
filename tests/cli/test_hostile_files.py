"""Files that operators name may have any content: each command refuses them in a sentence, without slow work."""

import hashlib
import json
import os
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.support.certificates.encodings import with_unknown_version
from tests.support.certificates.slow_keys import (
    diffie_hellman_certificate,
    diffie_hellman_key,
    diffie_hellman_request,
    long_rsa_key,
)
from tests.support.certificates.user_ca import der_of, new_ca, pem_of
from tests.support.machine.required import required_program
from tests.support.services.service import running_service

from thingmint.cli.commands import main as commands
from thingmint.cli.log.files import lines_of_archives
from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.pem import certificate_pem
from thingmint.registration.log.exported import LineUnreadable

SLOW_OR_ENDLESS = (
    "zero",
    "dh.key",
    "long.key",
    "dh.crt",
    "dh.csr",
    "weak.crt",
    "strange.crt",
    "version",
    "deep.toml",
    "latin",
)
WORKED_ON = ("--root-key", "--root", "--csr")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "zero").symlink_to("/dev/zero")
    (folder / "dh.key").write_text(diffie_hellman_key())
    (folder / "long.key").write_text(long_rsa_key())
    (folder / "dh.crt").write_text(pem_of(diffie_hellman_certificate()))
    (folder / "dh.csr").write_text(diffie_hellman_request())
    weak = new_ca(key=rsa.generate_private_key(65537, 1024))
    (folder / "weak.crt").write_text(pem_of(weak.certificate))
    unknown = ssl.DER_cert_to_PEM_cert(with_unknown_version(der_of(new_ca().certificate)))
    request = with_unknown_version(_request("issuer").public_bytes(serialization.Encoding.DER))
    as_request = ssl.DER_cert_to_PEM_cert(request).replace(" CERTIFICATE", " CERTIFICATE REQUEST")
    (folder / "version").write_text(unknown + as_request)
    (folder / "deep.toml").write_text("a=" + "[" * 20_000)
    (folder / "latin").write_bytes(b"caf\xe9 = 1")
    with (folder / "sparse").open("wb") as sparse:
        sparse.truncate(1 << 40)
    openssl = required_program("openssl")
    strange = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:sect571r1", "-nodes", "-keyout", "/dev/null")
    command = [openssl, "req", "-x509", *strange, "-subj", "/CN=strange", "-out", str(folder / "strange.crt")]
    subprocess.run(command, check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A root with its key, and a request to it, by the options that name them."""
    folder = tmp_path_factory.mktemp("root")
    authority, request = new_ca(), _request("issuer")
    contents = {
        "--root-key": authority.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "--root": pem_of(authority.certificate).encode(),
        "--csr": request.public_bytes(serialization.Encoding.PEM),
    }
    for option, content in contents.items():
        (folder / option).write_bytes(content)
    return {option: folder / option for option in contents}


def _request(name: str) -> x509.CertificateSigningRequest:
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    key = ec.generate_private_key(ec.SECP256R1())
    return x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())


def said(*arguments: str) -> str:
    """Return what a command says that refuses a file."""
    result = CliRunner().invoke(commands, arguments)
    assert isinstance(result.exception, SystemExit), result.exception
    assert result.exit_code in (1, 2), result.output
    return result.output


@pytest.mark.parametrize("hostile", SLOW_OR_ENDLESS)
@pytest.mark.parametrize("option", WORKED_ON)
def test_a_root_certifies_with_no_file_that_is_unfit(
    files: Path, root: dict[str, Path], tmp_path: Path, option: str, hostile: str
) -> None:
    given = {**root, option: files / hostile}
    words = [word for name, path in given.items() for word in (name, str(path))]
    assert "thingmint: " in said("issuer", "sign-with-root", *words, "--out", str(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data directory of a running service."""
    with running_service(tmp_path_factory.mktemp("service") / "data", "--test-mode") as service:
        yield service.data_dir


def issuing(tmp_path: Path, data_dir: Path, *options: str) -> Sequence[str]:
    (tmp_path / "list.csv").write_text("thing\nsensor-1\n")
    out = ("--out", str(tmp_path / "out"), "--data-dir", str(data_dir))
    return ("issue", "--from", str(tmp_path / "list.csv"), "--dry-run", *out, *options)


@pytest.mark.parametrize("hostile", SLOW_OR_ENDLESS)
def test_no_file_that_is_unfit_is_issued_with(files: Path, tmp_path: Path, data_dir: Path, hostile: str) -> None:
    path = str(files / hostile)
    assert said(*issuing(tmp_path, data_dir, "--recipient", path))
    assert said(*issuing(tmp_path, data_dir, "--template", path))
    delivery = ("issue", "--verify", str(tmp_path), "--data-dir", str(data_dir))
    assert said(*delivery, "--issuers", path)
    assert path in said(*delivery, "--recipient", path, "--recipient-key", path)


def test_endless_files_are_refused(files: Path, tmp_path: Path, data_dir: Path) -> None:
    zero, data = str(files / "zero"), ("--data-dir", str(data_dir))
    own = issuing(tmp_path, data_dir)
    assert "larger than" in said("issue", "--from", zero, *own[3:])
    assert "longer than" in said(*own, "--format", "p12", "--passphrase-file", zero)
    assert "longer than" in said("issuer", "create", "--profile", zero, *data)
    assert "longer than" in said("access-key", "create", "--policy", zero, *data)
    assert "longer than" in said("test-mode", "seed", zero, *data)
    simulated = (
        "fleet",
        "simulate",
        "--devices",
        "1",
        "--template",
        "none",
        "--claim-key",
        str(files / "weak.crt"),
        *data,
    )
    assert "longer than" in said(*simulated, "--claim-certificate", zero)
    assert "cannot be used" in said(*simulated, "--claim-certificate", str(files / "latin"))
    backup = str(tmp_path / "backup")
    assert "longer than" in said("backup", backup, "--passphrase-file", zero, *data)
    assert "not UTF-8" in said("access-key", "create", "--policy", str(files / "latin"), *data)


def test_no_setting_is_read_from_an_endless_file(files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "thingmint.toml").symlink_to("/dev/zero")
    assert "longer than" in said("settings", "--data-dir", str(tmp_path / "data"))
    monkeypatch.setenv("THINGMINT_ROOT_SECRET_ACCESS_KEY_FILE", str(files / "zero"))
    assert "longer than" in said("settings", "--data-dir", str(tmp_path / "other"))


def test_a_restore_takes_no_checkpoint_and_no_page_of_the_log_that_cannot_be_read(
    files: Path, tmp_path: Path, data_dir: Path
) -> None:
    backup, passphrase = tmp_path / "backup", tmp_path / "passphrase"
    passphrase.write_text("a long passphrase")
    made = CliRunner().invoke(
        commands, ("backup", str(backup), "--passphrase-file", str(passphrase), "--data-dir", str(data_dir))
    )
    assert made.exit_code == 0, made.output
    tail = tmp_path / "tail"
    (tail / "tile" / "entries").mkdir(parents=True)
    restore = ("restore", str(backup), "--passphrase-file", str(passphrase), "--log-tail", str(tail))
    for hostile in ("sparse", "latin"):
        (tail / "checkpoint").symlink_to(files / hostile)
        assert "checkpoint" in said(*restore, "--data-dir", str(tmp_path / hostile))
        (tail / "checkpoint").unlink()
    (tail / "tile" / "entries" / "000").symlink_to(files / "sparse")
    assert "longer than" in said(*restore, "--data-dir", str(tmp_path / "page"))


def test_settings_and_profiles_that_are_nested_too_deeply_are_refused(
    files: Path, tmp_path: Path, data_dir: Path
) -> None:
    deep = files / "deep.toml"
    (tmp_path / "thingmint.toml").write_text(deep.read_text())
    assert "nested too deeply" in said("settings", "--data-dir", str(tmp_path))
    assert "nested too deeply" in said("issuer", "create", "--profile", str(deep), "--data-dir", str(data_dir))


def test_archives_of_the_log_are_text_whose_lines_end(files: Path) -> None:
    with pytest.raises(LineUnreadable, match="is not UTF-8"):
        list(lines_of_archives([files / "latin"]))
    with pytest.raises(OSError, match="a line is longer than"):
        list(lines_of_archives([files / "zero"]))


def test_a_service_does_not_start_with_endless_secrets_and_strange_certificates(
    files: Path, tmp_path: Path, delivery: Path
) -> None:
    api, zero = ("--api", "127.0.0.1:0"), str(files / "zero")
    new = ("serve", "--data-dir", str(tmp_path / "new"), *api)
    assert "longer than" in said(*new, "--hook-secret-file", zero)
    database = ("--database-url", "postgresql://nobody@127.0.0.1:1/none", "--database-password-file", zero)
    assert "longer than" in said(*new, *database)
    data_dir = tmp_path / "data"
    for name in ("issuing-ca.pem", "root-ca.pem", "service-ca.pem"):
        shutil.copytree(delivery.parent / "data", data_dir)
        for strange in ("strange.crt", "dh.crt"):
            shutil.copy(files / strange, data_dir / "certificates" / name)
            assert f"{name}" in said("serve", "--data-dir", str(data_dir), *api)
        shutil.rmtree(data_dir)


@pytest.mark.parametrize(
    ("passphrase", "reason"), [(b"caf\xe9", "not UTF-8"), (b"a\0b", "has a NUL"), (b"\n", "empty")]
)
def test_passphrases_that_seal_nothing_are_refused_before_the_work(
    tmp_path: Path, data_dir: Path, passphrase: bytes, reason: str
) -> None:
    file, data = tmp_path / "passphrase", ("--data-dir", str(data_dir))
    file.write_bytes(passphrase)
    own = issuing(tmp_path, data_dir)
    assert reason in said(*own, "--format", "p12", "--passphrase-file", str(file))
    assert reason in said("backup", str(tmp_path / "backup"), "--passphrase-file", str(file), *data)
    assert reason in said("seal", "--new-passphrase-file", str(file), *data)
    new = ("--data-dir", str(tmp_path / "new"), "--api", "127.0.0.1:0")
    assert reason in said("serve", *new, "--ca-passphrase-file", str(file))
    assert not (tmp_path / "new" / "keys").exists()


@pytest.fixture(scope="module")
def delivery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A delivery of an offline station with one identity."""
    folder = tmp_path_factory.mktemp("station")
    with running_service(folder / "data"):
        pass
    (folder / "list.csv").write_text("thing\nsensor-1\n")
    out = ("--out", str(folder / "out"), "--data-dir", str(folder / "data"))
    result = CliRunner().invoke(commands, ("issue", "--offline", "--from", str(folder / "list.csv"), *out))
    assert result.exit_code == 0, result.output
    return folder / "out"


def fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def endless(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


def huge(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(1 << 40)


def binary(path: Path) -> None:
    path.write_bytes(b"\xff\0" * 1000)


@pytest.mark.parametrize("change", [fifo, endless, huge, binary])
@pytest.mark.parametrize(
    "name", ["manifest.jsonl", "manifest.csv", "issuers.pem", "sensor-1.cert.pem", "sensor-1.key.pem"]
)
def test_a_delivery_may_hold_anything(
    delivery: Path, tmp_path: Path, data_dir: Path, name: str, change: Callable[[Path], None]
) -> None:
    folder = tmp_path / "delivery"
    shutil.copytree(delivery, folder)
    names = [each.name for each in folder.iterdir()]
    assert name in names, names
    change(folder / name)
    assert said("issue", "--verify", str(folder), "--data-dir", str(data_dir))
    if name != "manifest.csv" and "key" not in name:
        assert said("import", str(folder), "--data-dir", str(data_dir))


def test_a_delivered_certificate_whose_issuer_is_a_bit_string_is_named(
    delivery: Path, tmp_path: Path, data_dir: Path
) -> None:
    folder = tmp_path / "delivery"
    shutil.copytree(delivery, folder)
    file, manifest = folder / "sensor-1.cert.pem", folder / "manifest.jsonl"
    der = ssl.PEM_cert_to_DER_cert(file.read_text())
    named = x509.load_der_x509_certificate(der).issuer.public_bytes()
    # The last attribute is a UTF8String (X.690, 8.1.2: tag 12), and becomes a BIT STRING (tag 3).
    place = named.rindex(b"\x06\x03\x55\x04\x03\x0c") + 5
    changed = der.replace(named, named[:place] + b"\x03" + named[place + 1 :])
    with pytest.raises(TypeError):
        _ = x509.load_der_x509_certificate(changed).issuer
    pem = certificate_pem(changed)
    entry = json.loads(manifest.read_text())
    digest = hashlib.sha256(pem.encode()).hexdigest()
    for table in (manifest, folder / "manifest.csv"):
        text = table.read_text().replace(entry["certificate_id"], certificate_id_of(changed))
        table.write_text(text.replace(entry["files"][file.name], digest))
    file.write_text(pem)
    for command in (("issue", "--verify", str(folder)), ("import", str(folder))):
        told = said(*command, "--data-dir", str(data_dir))
        assert "sensor-1" in told
        assert "BIT STRING" in told or "BitString" in told


def test_a_credentials_file_that_cannot_be_read_stops_no_service(tmp_path: Path) -> None:
    for content in (b"", b"\xff\0" * 100):
        with running_service(tmp_path / "data"):
            pass
        (tmp_path / "data" / "credentials").write_bytes(content)
    with running_service(tmp_path / "data") as service:
        assert service.endpoints.api
        data = ("--data-dir", str(tmp_path / "data"))
        assert "shared credentials file" in said("issue", "--count", "1", "--out", str(tmp_path / "out"), *data)
        assert "does not exist" in said("access-key", "delete", "AKIA", *data)


@pytest.mark.parametrize("url", ["postgresql://[::1", "postgresql://127.0.0.1:1/x?sslmode=none"])
def test_a_database_url_that_cannot_be_read_is_refused(delivery: Path, tmp_path: Path, url: str) -> None:
    source = tmp_path / "data"
    shutil.copytree(delivery.parent / "data", source)
    made = CliRunner().invoke(commands, ("backup", str(tmp_path / "b"), "--unsealed-keys", "--data-dir", str(source)))
    assert made.exit_code == 0, made.output
    for command in (
        ("move", "--data-dir", str(source)),
        ("restore", str(tmp_path / "b"), "--data-dir", str(tmp_path / "new")),
    ):
        assert "the database URL cannot be read" in said(*command, "--database-url", url)


def test_names_that_no_database_can_have_are_refused(delivery: Path, tmp_path: Path) -> None:
    data = ("--data-dir", str(delivery.parent / "data"))
    assert "does not exist" in said("access-key", "delete", "AKIA\udcff", *data)
    assert "must have a name in UTF-8" in said("access-key", "list", "--data-dir", str(tmp_path / "a\udcff"))


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("credentials", ("env",)),
        ("credentials", ("test-mode", "reset")),
        ("endpoints.json", ("env",)),
        ("endpoints.json", ("issue", "--count", "1", "--out", "identities")),
        ("lock", ("doctor",)),
        ("certificates/issuing-ca.pem", ("doctor",)),
        ("keys/root-ca.key", ("doctor",)),
    ],
)
def test_a_file_of_the_data_directory_that_cannot_be_opened_is_named(
    delivery: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, command: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    data_dir = tmp_path / "data"
    shutil.copytree(delivery.parent / "data", data_dir)
    (data_dir / name).unlink(missing_ok=True)
    (data_dir / name).symlink_to(data_dir / name)
    told = said(*command, "--data-dir", str(data_dir))
    assert f"{data_dir / name}: Too many levels of symbolic links" in told
