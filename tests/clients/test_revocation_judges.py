"""Other implementations judge revocation lists and OCSP: OpenSSL, GnuTLS, NSS, Java, strongSwan and pkilint."""

import contextlib
import io
import subprocess
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509 import ocsp
from pkilint.bin import lint_crl, lint_ocsp_response
from tests.support.clients.strongswan import pki, require_strongswan
from tests.support.machine.required import required_program
from tests.support.services.published import Device, Published, publishing_service, until


@dataclass(frozen=True)
class Judged:
    """A service and certificates that are valid, revoked for a reason, and on hold."""

    published: Published
    good: Device
    revoked: Device
    held: Device

    @property
    def folder(self) -> Path:
        """Where the files are."""
        return self.published.folder


def said_by(*command: str | Path, ok: bool | None = True) -> str:
    """Return what a program says; fail unless it ends as expected."""
    program, *arguments = command
    finished = subprocess.run(
        [required_program(str(program)), *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    said = (finished.stdout + finished.stderr).strip()
    assert ok is None or (finished.returncode == 0) is ok, said
    return said


def found_by(program: Callable[[Sequence[str]], int], *arguments: str, of: Path) -> str:
    """Return what one of pkilint's programs finds in a file; it runs here, because it takes long to start."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
        # It leaves the file for the end of the process to close.
        warnings.simplefilter("ignore", ResourceWarning)
        program(["lint", "-s", "WARNING", *arguments, str(of)])
    return said.getvalue().strip()


def found_in_list(file: Path) -> str:
    """Return what pkilint finds in a revocation list."""
    return found_by(lint_crl.main, "-t", "CRL", "-p", "PKIX", of=file)


@pytest.fixture(scope="module", params=["ecdsa-p256", "rsa-2048"])
def judged(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Judged]:
    folder = tmp_path_factory.mktemp("judged")
    with publishing_service(folder, "--ca-key-type", request.param) as published:
        found = Judged(published, published.device("good"), published.device("revoked"), published.device("held"))
        published.revoke(found.revoked, "keyCompromise")
        published.set_status(found.held, "INACTIVE")
        until(lambda: published.listed(found.revoked) and published.listed(found.held))
        published.write_files()
        yield found


def test_openssl_verifies_chains_with_lists_of_every_issuer(judged: Judged) -> None:
    lists = ("-CAfile", judged.folder / "ca.pem", "-CRLfile", judged.folder / "crl.pem")
    check = ("verify", "-x509_strict", "-crl_check_all", *lists)

    assert said_by("openssl", *check, judged.good.certificate_file).endswith(": OK")
    for device in (judged.revoked, judged.held):
        assert "certificate revoked" in said_by("openssl", *check, device.certificate_file, ok=False)


def test_openssl_finds_the_list_that_a_certificate_names(judged: Judged) -> None:
    check = ("verify", "-crl_check", "-crl_download", "-CAfile", judged.folder / "ca.pem")

    assert said_by("openssl", *check, judged.good.certificate_file).endswith(": OK")
    assert "certificate revoked" in said_by("openssl", *check, judged.revoked.certificate_file, ok=False)


def test_openssl_finds_the_list_of_the_root_that_the_issuers_certificate_names(judged: Judged) -> None:
    check = ("verify", "-x509_strict", "-crl_check", "-crl_download", "-CAfile", judged.folder / "root.pem")

    assert said_by("openssl", *check, judged.folder / "issuer.pem").endswith(": OK")


def test_strongswan_reads_statuses_from_the_lists_of_every_issuer(judged: Judged) -> None:
    require_strongswan()
    trusted = [("--cacert", judged.folder / "issuer.pem"), ("--cacert", judged.folder / "root.pem")]
    lists = [("--crl", judged.folder / "issuer.crl"), ("--crl", judged.folder / "root.crl")]
    options = [each for pair in (*trusted, *lists) for each in pair]

    _, said = pki("verify", "--in", judged.good.certificate_file, *options)
    assert "certificate trusted, lifetimes valid, certificate not revoked" in said
    for device, reason in ((judged.revoked, "key compromise"), (judged.held, "certificate hold")):
        _, said = pki("verify", "--in", device.certificate_file, *options, is_fine=False)
        assert f"reason: {reason}" in said


@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_openssl_is_told_the_status_of_several_certificates_at_once(judged: Judged, digest: str, nonce: str) -> None:
    named = [
        each
        for device in (judged.good, judged.revoked, judged.held)
        for each in (digest, "-cert", device.certificate_file)
    ]

    said = said_by(
        *("openssl", "ocsp", "-issuer", judged.folder / "issuer.pem", *named, nonce),
        *("-url", f"{judged.published.url}/ocsp", "-CAfile", judged.folder / "root.pem"),
    )

    assert "Response verify OK" in said
    assert "WARNING" not in said
    assert f"{judged.good.certificate_file}: good" in said
    assert f"{judged.revoked.certificate_file}: revoked" in said
    assert f"{judged.held.certificate_file}: revoked" in said
    assert "Reason: keyCompromise" in said
    assert "Reason: certificateHold" in said


def test_openssl_is_told_that_the_issuers_own_certificate_is_good(judged: Judged) -> None:
    said = said_by(
        *("openssl", "ocsp", "-issuer", judged.folder / "root.pem", "-cert", judged.folder / "issuer.pem"),
        *("-url", f"{judged.published.url}/ocsp", "-CAfile", judged.folder / "root.pem"),
    )

    assert "Response verify OK" in said
    assert f"{judged.folder / 'issuer.pem'}: good" in said


def test_openssl_is_told_that_a_number_was_never_issued(judged: Judged) -> None:
    said = said_by(
        *("openssl", "ocsp", "-issuer", judged.folder / "issuer.pem", "-serial", "0x1234567890abcdef1234"),
        *("-url", f"{judged.published.url}/ocsp", "-CAfile", judged.folder / "root.pem"),
    )

    assert "Response verify OK" in said
    assert "0x1234567890abcdef1234: unknown" in said


def test_gnutls_verifies_lists_and_chains(judged: Judged) -> None:
    for name in ("issuer", "root"):
        text = said_by("openssl", "crl", "-inform", "DER", "-in", judged.folder / f"{name}.crl")
        (judged.folder / f"{name}.crl.pem").write_text(text)
        authority = judged.folder / f"{name}.pem"
        list_file = judged.folder / f"{name}.crl.pem"
        said = said_by("certtool", "--verify-crl", "--load-ca-certificate", authority, "--infile", list_file)
        assert "Verified. The certificate is trusted." in said
    check = ("certtool", "--verify", "--load-ca-certificate", judged.folder / "ca.pem")
    lists = ("--load-crl", judged.folder / "crl.pem")

    assert "Verified. The certificate is trusted." in said_by(*check, *lists, "--infile", judged.good.certificate_file)
    assert "revoked" in said_by(*check, *lists, "--infile", judged.revoked.certificate_file, ok=False)


def test_gnutls_is_told_the_status(judged: Judged) -> None:
    def asked_of(device: Device, *nonce: str) -> str:
        issuer, trusted = judged.folder / "issuer.pem", judged.folder / "ca.pem"
        named = ("--load-issuer", issuer, "--load-cert", device.certificate_file, "--load-trust", trusted)
        return said_by("ocsptool", f"--ask={judged.published.url}/ocsp", *named, *nonce)

    for nonce in ([], ["--nonce"]):
        good, revoked = asked_of(judged.good, *nonce), asked_of(judged.revoked, *nonce)
        assert "Verifying OCSP Response: Success." in good
        assert "Certificate Status: good" in good
        assert "Verifying OCSP Response: Success." in revoked
        assert "Certificate Status: revoked" in revoked


def test_nss_takes_the_lists_and_keeps_to_them(judged: Judged, tmp_path: Path) -> None:
    said_by("certutil", "-N", "-d", tmp_path, "--empty-password")
    for name, trust in (("root", "CT,C,C"), ("issuer", ",,")):
        said_by("certutil", "-A", "-d", tmp_path, "-n", name, "-t", trust, "-a", "-i", judged.folder / f"{name}.pem")
        said_by("crlutil", "-I", "-d", tmp_path, "-i", judged.folder / f"{name}.crl")
    for device, ok in ((judged.good, True), (judged.revoked, False), (judged.held, False)):
        name = device.certificate_file.stem
        said_by("certutil", "-A", "-d", tmp_path, "-n", name, "-t", ",,", "-a", "-i", device.certificate_file)
        said = said_by("certutil", "-V", "-d", tmp_path, "-n", name, "-u", "C", "-e", ok=ok)
        assert ("has been revoked" in said) is not ok


def test_nss_is_told_the_status(judged: Judged, tmp_path: Path) -> None:
    said_by("certutil", "-N", "-d", tmp_path, "--empty-password")
    for name, trust in (("root", "CT,C,C"), ("issuer", ",,")):
        said_by("certutil", "-A", "-d", tmp_path, "-n", name, "-t", trust, "-a", "-i", judged.folder / f"{name}.pem")
    # -m ocsp -s failIfNoInfo: without an answer that verifies, the chain is refused.
    method = ("-g", "leaf", "-h", "requireFreshInfo", "-m", "ocsp", "-s", "failIfNoInfo")
    check = ("vfychain", "-d", tmp_path, "-pp", "-u", "0", *method, "-a")

    assert "Chain is good!" in said_by(*check, judged.good.certificate_file)
    assert "revoked" in said_by(*check, judged.revoked.certificate_file, ok=None)


@pytest.mark.parametrize("how", ["lists", "addresses", "ocsp"])
def test_javas_revocation_checker_agrees(judged: Judged, java: tuple[str, ...], how: str) -> None:
    said = said_by(
        *(*java, "-Dcom.sun.security.enableCRLDP=true", "Revocation", how),
        *(f"{judged.published.url}/ocsp", judged.folder / "ca.pem", judged.folder / "crl.pem"),
        *(each.certificate_file for each in (judged.good, judged.revoked, judged.held)),
    ).splitlines()

    assert said[0] == "OK"
    assert "revoked" in said[1]
    assert "KEY_COMPROMISE" in said[1]
    assert "revoked" in said[2]


def test_javas_http_client_is_served_although_it_asks_for_http_2(
    judged: Judged, java: tuple[str, ...], tmp_path: Path
) -> None:
    fetch = (*java, "Fetch")
    asked = tmp_path / "asked"
    said_by(
        "openssl",
        "ocsp",
        "-issuer",
        judged.folder / "issuer.pem",
        "-cert",
        judged.good.certificate_file,
        "-reqout",
        asked,
    )

    status, answer = said_by(*fetch, f"{judged.published.url}/ocsp", "application/ocsp-request", asked).split()
    assert status == "200"
    assert ocsp.load_der_ocsp_response(bytes.fromhex(answer)).certificate_status is ocsp.OCSPCertStatus.GOOD
    status, answer = said_by(*fetch, f"{judged.published.url}/ca/all.pem").split()
    assert status == "200"
    assert x509.load_pem_x509_certificates(bytes.fromhex(answer))


def test_pkilint_finds_nothing_in_the_lists(judged: Judged) -> None:
    for name in ("issuer", "root"):
        assert found_in_list(judged.folder / f"{name}.crl") == ""


def test_pkilint_finds_a_certificate_where_a_list_should_be(judged: Judged, tmp_path: Path) -> None:
    certificate = tmp_path / "certificate.der"
    certificate.write_bytes(judged.good.certificate.public_bytes(serialization.Encoding.DER))

    assert "Failed to load CRL" in found_in_list(certificate)


def test_pkilint_finds_nothing_in_responses(judged: Judged) -> None:
    for device in (judged.good, judged.revoked):
        answer = judged.folder / "answer.der"
        said_by(
            *("openssl", "ocsp", "-issuer", judged.folder / "issuer.pem", "-cert", device.certificate_file),
            *("-url", f"{judged.published.url}/ocsp", "-respout", answer, "-CAfile", judged.folder / "root.pem"),
        )
        assert found_by(lint_ocsp_response.main, of=answer) == ""


def test_split_lists_are_found_by_the_certificates_that_name_them(tmp_path: Path) -> None:
    with publishing_service(tmp_path / "split", "--crl-shard-entries", "1") as published:
        first = [published.device(f"early-{number}") for number in range(3)]
        for device in first:
            published.set_status(device, "REVOKED")
        until(lambda: all(published.listed(device) for device in first))
        until(lambda: published.fetch(f"/crl/{published.issuer_id}/4-3.crl").status == 200)
        later = [published.device(f"late-{number}") for number in range(6)]
        for device in later[::2]:
            published.set_status(device, "REVOKED")
        until(lambda: all(published.listed(device) for device in later[::2]))
        published.write_files()
        download = ("-crl_download", "-crl_check", "-CAfile", published.folder / "ca.pem")

        for index, device in enumerate(later):
            is_revoked = index % 2 == 0
            said = said_by("openssl", "verify", *download, device.certificate_file, ok=not is_revoked)
            assert ("certificate revoked" in said) is is_revoked
            named = device.certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
            assert named[0].full_name is not None
            (address,) = named[0].full_name
            fetched = x509.load_der_x509_crl(published.fetch(address.value.removeprefix(published.url)).body)
            scope = fetched.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
            assert scope.critical
            assert scope.value.full_name == [address]
            (published.folder / "part.crl").write_bytes(published.fetch(address.value.removeprefix(published.url)).body)
            assert found_in_list(published.folder / "part.crl") == ""
