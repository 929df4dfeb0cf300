"""Devices that show their certificate in another encoding over real TLS: revoked stays revoked, at every entrance."""

import json
import queue
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import ExtendedKeyUsageOID, ObjectIdentifier
from tests.support.certificates.encodings import (
    negated,
    padded,
    with_third_number,
    with_trailing_octet_in_signature,
    with_unused_bits,
)
from tests.support.clients.aws import ClientOf, IoT, Live, refusal_of
from tests.support.devices.device_identities import DAY, Identity, new_identity, rsa_key
from tests.support.devices.live_devices import (  # noqa: F401  a fixture is found as `live`
    GENEROUS,
    ROLE,
    Credentials,
    device_policy,
    is_admitted,
    live_on_each_data_plane,
    unique,
)
from tests.support.registration.templates import certificate, policy, template_of_pem
from tests.support.services.service import running_service

from thingmint.core.identifiers import certificate_id_of
from thingmint.issuance.encoding.pem import certificate_pem

JITP = json.dumps(
    {
        "Parameters": {},
        "Resources": {
            "certificate": certificate(Status="ACTIVE"),
            "policy": policy(PolicyDocument=json.loads(device_policy(("iot:Connect", "*")))),
        },
    }
)
TEMPLATE = template_of_pem()


def unused_bits(authority: Identity) -> tuple[Identity, bytes]:
    """Return a device of an RSA CA, and its certificate with an unused bit in the signature."""
    while True:
        own = new_identity(unique("meter"), issuer=authority)
        changed = with_unused_bits(own.der)
        if changed is not None:
            return own, changed


def s_negated(authority: Identity) -> tuple[Identity, bytes]:
    """Return a device of an ECDSA CA, and its certificate with n - s in the signature."""
    own = new_identity(unique("meter"), issuer=authority)
    return own, negated(own.der)


KINDS: dict[str, tuple[Callable[[], Identity], Callable[[Identity], tuple[Identity, bytes]]]] = {
    "ECDSA": (lambda: new_identity(unique("CA"), is_authority=True), s_negated),
    "RSA": (lambda: new_identity(unique("CA"), is_authority=True, key=rsa_key()), unused_bits),
}


def register_ca(iot: IoT, authority: Identity, *, provisions: bool = True) -> str:
    """Register the CA so that its devices are provisioned (JITP), or registered (JITR), when they first connect."""
    config = {"registrationConfig": {"templateBody": JITP, "roleArn": ROLE}} if provisions else {}
    answer = iot.register_ca_certificate(
        caCertificate=certificate_pem(authority.der),
        certificateMode="SNI_ONLY",
        setAsActive=True,
        allowAutoRegistration=True,
        **config,
    )
    registered: str = answer["certificateId"]
    return registered


def credentials(der: bytes, own: Identity) -> Credentials:
    return Credentials(certificate_id_of(der), certificate_pem(der), own.key_pem.decode())


def known(iot: IoT, ca_id: str) -> list[str]:
    """Return the ids of what is registered with the CA."""
    return [each["certificateId"] for each in iot.list_certificates_by_ca(caCertificateId=ca_id)["certificates"]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fate", ["INACTIVE", "REVOKED", "deleted"])
def test_a_device_does_not_come_back_in_another_encoding(
    live: Live, iot: IoT, tmp_path: Path, kind: str, fate: str
) -> None:
    new_ca, issue = KINDS[kind]
    authority = new_ca()
    own, changed = issue(authority)
    ca_id = register_ca(iot, authority)
    original, other = credentials(own.der, own), credentials(changed, own)
    assert not is_admitted(live, original, tmp_path)
    assert is_admitted(live, original, tmp_path)
    # While the first is ACTIVE, another encoding of it is nobody's.
    assert not is_admitted(live, other, tmp_path)
    iot.update_certificate(certificateId=own.certificate_id, newStatus="REVOKED" if fate == "deleted" else fate)
    if fate == "deleted":
        iot.delete_certificate(certificateId=own.certificate_id, forceDelete=True)

    for shown in (other, other, original, original):
        assert not is_admitted(live, shown, tmp_path)

    assert known(iot, ca_id) == ([] if fate == "deleted" else [own.certificate_id])


@pytest.mark.parametrize("fate", ["REVOKED", "deleted"])
def test_without_a_template_it_is_not_even_pending(live: Live, iot: IoT, tmp_path: Path, fate: str) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own, changed = s_negated(authority)
    ca_id = register_ca(iot, authority, provisions=False)
    assert not is_admitted(live, credentials(own.der, own), tmp_path)
    iot.update_certificate(certificateId=own.certificate_id, newStatus="REVOKED")
    if fate == "deleted":
        iot.delete_certificate(certificateId=own.certificate_id, forceDelete=True)
    assert not is_admitted(live, credentials(changed, own), tmp_path)
    assert known(iot, ca_id) == ([] if fate == "deleted" else [own.certificate_id])


def test_another_encoding_that_comes_first_is_the_only_one(live: Live, iot: IoT, tmp_path: Path) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own, changed = s_negated(authority)
    ca_id = register_ca(iot, authority)
    other = credentials(changed, own)
    assert not is_admitted(live, other, tmp_path)
    assert is_admitted(live, other, tmp_path)
    iot.update_certificate(certificateId=other.certificate_id, newStatus="REVOKED")
    for shown in (other, credentials(own.der, own)):
        assert not is_admitted(live, shown, tmp_path)
    assert known(iot, ca_id) == [other.certificate_id]


@pytest.mark.parametrize("change", [padded, with_trailing_octet_in_signature, with_third_number])
def test_a_device_that_shows_what_is_not_der_is_never_registered(
    live: Live, iot: IoT, tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own = new_identity(unique("meter"), issuer=authority)
    ca_id = register_ca(iot, authority)
    for _ in range(2):
        assert not is_admitted(live, credentials(change(own.der), own), tmp_path)
    assert known(iot, ca_id) == []
    assert not is_admitted(live, credentials(own.der, own), tmp_path)
    assert is_admitted(live, credentials(own.der, own), tmp_path)
    assert not is_admitted(live, credentials(change(own.der), own), tmp_path)
    assert known(iot, ca_id) == [own.certificate_id]


def test_of_two_encodings_that_connect_at_once_one_is_registered(live: Live, iot: IoT, tmp_path: Path) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own, changed = s_negated(authority)
    ca_id = register_ca(iot, authority)
    shown = [credentials(der, own) for der in (own.der, changed) * 3]
    failed: queue.Queue[Exception] = queue.Queue()
    start = threading.Barrier(len(shown))

    def connect(number: int) -> None:
        folder = tmp_path / str(number)
        folder.mkdir(parents=True)
        start.wait(GENEROUS)
        try:
            is_admitted(live, shown[number], folder)
        except Exception as error:  # noqa: BLE001  the thread's errors are the test's
            failed.put(error)

    threads = [threading.Thread(target=connect, args=(number,)) for number in range(len(shown))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(GENEROUS)
    assert failed.empty()
    assert len(known(iot, ca_id)) == 1


@pytest.mark.parametrize("status", ["ACTIVE", "INACTIVE", "REVOKED"])
def test_no_operation_registers_another_encoding(iot: IoT, status: str) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own, changed = s_negated(authority)
    register_ca(iot, authority)
    iot.register_certificate(certificatePem=certificate_pem(own.der), status=status)
    pem = certificate_pem(changed)
    for call, arguments in (
        (iot.register_certificate, {"certificatePem": pem}),
        (iot.register_certificate, {"certificatePem": pem, "caCertificatePem": certificate_pem(authority.der)}),
        (iot.register_certificate_without_ca, {"certificatePem": pem}),
    ):
        with pytest.raises(iot.exceptions.ResourceAlreadyExistsException) as refused:
            call(**arguments)
        assert refused.value.response["resourceId"] == own.certificate_id
    refusal = refusal_of(iot.register_thing, templateBody=TEMPLATE, parameters={"Pem": pem})
    assert (refusal.name, refusal.status) == ("ResourceRegistrationFailureException", 400)


def test_an_encoding_that_is_not_der_is_malformed(iot: IoT) -> None:
    authority = new_identity(unique("CA"), is_authority=True, key=rsa_key())
    _, changed = unused_bits(authority)
    register_ca(iot, authority)
    for call in (iot.register_certificate, iot.register_certificate_without_ca):
        refusal = refusal_of(call, certificatePem=certificate_pem(changed))
        assert (refusal.name, refusal.status) == ("CertificateValidationException", 400)
        assert "the signature has unused bits" in refusal.message


def test_a_bulk_registration_registers_no_other_encoding(live_on_sqlite: Live, client_of: ClientOf) -> None:
    iot = client_of(live_on_sqlite)
    authority = new_identity(unique("CA"), is_authority=True)
    own, changed = s_negated(authority)
    ca_id = register_ca(iot, authority)
    iot.register_certificate(certificatePem=certificate_pem(own.der), status="REVOKED")
    bucket = unique("encodings")
    folder = live_on_sqlite.registration_dir / live_on_sqlite.account / bucket
    folder.mkdir(parents=True)
    (folder / "devices.json").write_text(json.dumps({"Pem": certificate_pem(changed)}) + "\n")
    task = iot.start_thing_registration_task(
        templateBody=TEMPLATE, inputFileBucket=bucket, inputFileKey="devices.json", roleArn=ROLE
    )["taskId"]
    deadline = time.monotonic() + GENEROUS
    while iot.describe_thing_registration_task(taskId=task)["status"] == "InProgress":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    described = iot.describe_thing_registration_task(taskId=task)
    assert (described["successCount"], described["failureCount"]) == (0, 1)
    assert known(iot, ca_id) == [own.certificate_id]


SERVER = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
UNKNOWN = x509.UnrecognizedExtension(ObjectIdentifier("1.2.3.4"), b"\x05\x00")
ENCIPHERMENT = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=True,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


def server_of(authority: Identity, extension: x509.ExtensionType, *, critical: bool) -> Identity:
    """Return what the CA has signed for something else than a TLS client."""
    own = new_identity(unique("server"), issuer=authority)
    shown = own.certificate
    signed = (
        x509.CertificateBuilder()
        .subject_name(shown.subject)
        .issuer_name(shown.issuer)
        .public_key(shown.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(shown.not_valid_before_utc)
        .not_valid_after(shown.not_valid_before_utc + 4 * DAY)
        .add_extension(extension, critical)
        .sign(authority.key, hashes.SHA256())
    )
    return Identity(signed, own.key)


@pytest.mark.parametrize(
    ("extension", "critical"),
    [(SERVER, False), (UNKNOWN, True), (ENCIPHERMENT, True), (x509.BasicConstraints(ca=True, path_length=0), True)],
    ids=["serverAuth", "unknown and critical", "keyEncipherment", "CA:TRUE"],
)
def test_what_is_not_for_a_client_registers_by_an_operator_only(
    live: Live, iot: IoT, tmp_path: Path, extension: x509.ExtensionType, *, critical: bool
) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    ca_id = register_ca(iot, authority)
    own = server_of(authority, extension, critical=critical)
    shown = credentials(own.der, own)
    for _ in range(2):
        assert not is_admitted(live, shown, tmp_path)
    assert known(iot, ca_id) == []
    registered = iot.register_certificate(certificatePem=certificate_pem(own.der), status="ACTIVE")
    name = unique("everything")
    iot.create_policy(policyName=name, policyDocument=device_policy(("iot:*", "*")))
    iot.attach_policy(policyName=name, target=registered["certificateArn"])
    assert is_admitted(live, shown, tmp_path)


def test_the_log_tells_why_a_device_did_not_register_itself(tmp_path: Path) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    server, (own, changed) = server_of(authority, SERVER, critical=True), s_negated(authority)
    with running_service(tmp_path / "data") as service:
        live = Live(service, None)
        client = live.client()
        register_ca(client, authority)
        for shown in (credentials(server.der, server), credentials(own.der, own), credentials(changed, own)):
            assert not is_admitted(live, shown, tmp_path)
        client.close()
        text = service.log_file.read_text()
    assert "The extended key usage of the certificate lacks clientAuth" in text
    assert f"The certificate is another encoding of {own.certificate_id}" in text


def test_a_setting_registers_what_is_not_for_a_client(tmp_path: Path) -> None:
    authority = new_identity(unique("CA"), is_authority=True)
    own = server_of(authority, SERVER, critical=True)
    with running_service(tmp_path / "data", "--auto-register-any-usage") as service:
        live = Live(service, None)
        client = live.client()
        ca_id = register_ca(client, authority)
        assert not is_admitted(live, credentials(own.der, own), tmp_path)
        assert is_admitted(live, credentials(own.der, own), tmp_path)
        assert known(client, ca_id) == [own.certificate_id]
        client.close()
