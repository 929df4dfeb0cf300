"""What an administrator does in the console, in a browser and to the end: the registry is asked what became of it."""

import datetime as dt
import io
import json
import ssl
import urllib.parse
import zipfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from tests.console.conftest import HOSTILE, Filled
from tests.support.certificates.encodings import with_unknown_version
from tests.support.certificates.slow_keys import diffie_hellman_certificate, diffie_hellman_request, long_rsa_key
from tests.support.certificates.user_ca import new_ca, pem_of
from tests.support.clients.aws import IoT, Live
from tests.support.console.browser import Tab, violations
from tests.support.console.console_pages import Pages
from tests.support.devices.live_devices import ROLE, device, new_credentials, unique


def signing_request(name: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


def status_of(iot: IoT, certificate_id: str) -> str:
    return str(iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"])


def test_keys_are_shown_and_downloaded_once(administrator: Tab, iot: IoT, axe: str) -> None:
    administrator.open("/create")
    administrator.press("Create keys and certificate")
    assert violations(administrator.page, axe) == []
    key_pem = administrator.page.locator("#private-key").inner_text()
    certificate_id = administrator.page.locator("input[name=certificate_id]").get_attribute("value")
    assert certificate_id is not None
    assert status_of(iot, certificate_id) == "ACTIVE"
    files = {}
    for name, button in (("zip", "Zip archive"), ("pem", "PEM, key and certificate"), ("p12", "PKCS#12")):
        administrator.page.get_by_label("Passphrase").fill("correct horse")
        with administrator.page.expect_download() as downloading:
            administrator.page.get_by_role("button", name=button, exact=True).click()
        files[name] = Path(downloading.value.path()).read_bytes()
    assert key_pem.strip() in files["pem"].decode()
    with zipfile.ZipFile(io.BytesIO(files["zip"])) as archive:
        assert {name.rpartition(".")[2] for name in archive.namelist()} == {"key", "pem"}
        assert archive.testzip() is None
    key, certificate, authorities = pkcs12.load_key_and_certificates(files["p12"], b"correct horse")
    assert certificate is not None
    assert certificate.fingerprint(hashes.SHA256()).hex() == certificate_id
    assert key is not None
    assert len(authorities) == 1
    # Loaded again, the page is gone and nothing is issued a second time.
    before = len(iot.list_certificates(pageSize=250)["certificates"])
    administrator.open("/create")
    assert "PRIVATE KEY" not in administrator.page.content()
    assert len(iot.list_certificates(pageSize=250)["certificates"]) == before


def test_a_request_is_decoded_before_it_is_signed(administrator: Tab, iot: IoT, tmp_path: Path, axe: str) -> None:
    name = unique("requested")
    (tmp_path / "device.csr").write_text(signing_request(name))
    administrator.open("/create")
    administrator.page.get_by_label("Or choose its file").set_input_files(tmp_path / "device.csr")
    administrator.page.wait_for_function("document.getElementById('request_pem').value !== ''")
    administrator.press("Read the request")
    assert f"CN={name}" in administrator.text
    assert violations(administrator.page, axe) == []
    administrator.press("Issue the certificate, active")
    certificate_id = administrator.page.locator("main a.code").inner_text()
    assert status_of(iot, certificate_id) == "ACTIVE"
    administrator.open(f"/certificates?common-name={name}")
    assert certificate_id[:12] in administrator.text


def test_a_private_key_is_not_taken_for_a_request(administrator: Tab) -> None:
    administrator.open("/create")
    administrator.page.get_by_label("Certificate signing request").fill("-----BEGIN PRIVATE KEY-----")
    administrator.press("Read the request")
    assert "must stay with the device" in administrator.text


def test_a_certificate_is_deactivated_activated_revoked_and_deleted(administrator: Tab, iot: IoT) -> None:
    certificate_id = iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    for action, status in (("Deactivate", "INACTIVE"), ("Activate", "ACTIVE"), ("Revoke", "REVOKED")):
        administrator.open(f"/certificates/{certificate_id}")
        administrator.page.get_by_role("link", name=f"{action}…").click()
        assert administrator.page.locator(".consequence").inner_text()
        administrator.press(action)
        assert administrator.page.get_by_role("status").inner_text()
        assert status_of(iot, certificate_id) == status
    administrator.page.get_by_role("link", name="Delete…").click()
    administrator.press("Delete")
    assert administrator.open(f"/certificates/{certificate_id}") == 404


def test_a_certificate_is_transferred(administrator: Tab, iot: IoT, other_account: str) -> None:
    certificate_id = iot.create_keys_and_certificate(setAsActive=False)["certificateId"]
    administrator.open(f"/certificates/{certificate_id}/transfer")
    administrator.page.get_by_label("Account that gets it").fill(other_account)
    administrator.press("Transfer")
    assert status_of(iot, certificate_id) == "PENDING_TRANSFER"
    administrator.page.get_by_role("link", name="Cancel the transfer…").click()
    administrator.press("Cancel the transfer")
    assert status_of(iot, certificate_id) == "INACTIVE"


def test_many_certificates_are_changed_with_their_progress(administrator: Tab, iot: IoT, axe: str) -> None:
    names = [unique("bulk") for _ in range(23)]
    prefix = unique("many")
    ids = [
        iot.create_certificate_from_csr(
            certificateSigningRequest=signing_request(f"{prefix}-{name}"), setAsActive=True
        )["certificateId"]
        for name in names
    ]
    iot.update_certificate(certificateId=ids[0], newStatus="REVOKED")
    administrator.open(f"/certificates?common-name={prefix}")
    administrator.page.get_by_label("Select all certificates of this page").check()
    administrator.press("Deactivate…")
    assert "end within a second" in administrator.text
    administrator.page.get_by_role("button", name="Deactivate", exact=True).click()
    administrator.page.get_by_text("All certificates of the selection were tried.").wait_for()
    assert "23 of 23: 22 done, 1 refused" in administrator.text
    assert violations(administrator.page, axe) == []
    assert [status_of(iot, each) for each in ids] == ["REVOKED", *["INACTIVE"] * 22]


def test_policies_and_things_are_attached_and_detached(administrator: Tab, iot: IoT, filled: Filled) -> None:
    created = iot.create_keys_and_certificate(setAsActive=True)
    path = f"/certificates/{created['certificateId']}"
    administrator.open(path)
    administrator.page.get_by_label("Policy", exact=True).fill(filled.policy)
    administrator.press("Attach the policy")
    administrator.page.get_by_label("Thing", exact=True).fill(filled.thing)
    administrator.press("Attach the thing")
    assert "attached to the certificate" in administrator.text
    administrator.press(f"Detach the policy {filled.policy}")
    administrator.press(f"Detach the thing {filled.thing}")
    assert iot.list_attached_policies(target=created["certificateArn"])["policies"] == []
    assert iot.list_principal_things(principal=created["certificateArn"])["things"] == []


def test_a_thing_is_created_changed_and_deleted(administrator: Tab, iot: IoT, filled: Filled) -> None:
    name = unique("thing")
    administrator.open("/things")
    administrator.page.get_by_label("Name", exact=True).fill(name)
    administrator.page.get_by_label("Attributes, one in a line").fill("line = 8\nplace = hall")
    administrator.press("Create the thing")
    administrator.page.get_by_label("Attributes, one in a line").fill("line = 9")
    administrator.press("Store")
    assert "The change is stored." in administrator.text
    assert iot.describe_thing(thingName=name)["attributes"] == {"line": "9"}
    administrator.page.get_by_role("textbox", name="Group").fill(filled.group)
    administrator.press("Put it into the group")
    administrator.press(f"Take out of {filled.group}")
    administrator.press("Delete the thing")
    assert administrator.open(f"/things/{name}") == 404


def test_a_group_is_created_changed_and_deleted(administrator: Tab, iot: IoT, filled: Filled) -> None:
    name = unique("group")
    administrator.open("/groups")
    administrator.page.get_by_label("Name", exact=True).fill(name)
    administrator.press("Create the group")
    administrator.page.get_by_label("Description", exact=True).and_(administrator.page.locator("input")).fill(
        "the hall"
    )
    administrator.press("Store")
    administrator.page.get_by_label("Thing", exact=True).fill(filled.thing)
    administrator.press("Put the thing into the group")
    administrator.page.get_by_label("Policy", exact=True).fill(filled.policy)
    administrator.press("Attach the policy")
    described = iot.describe_thing_group(thingGroupName=name)
    assert described["thingGroupProperties"]["thingGroupDescription"] == "the hall"
    assert iot.list_things_in_thing_group(thingGroupName=name)["things"] == [filled.thing]
    administrator.press(f"Take out {filled.thing}")
    administrator.press(f"Detach {filled.policy}")
    administrator.press("Delete the group")
    assert administrator.open(f"/groups/{name}") == 404


def test_a_policy_is_edited_with_errors_at_their_places(administrator: Tab, iot: IoT, axe: str) -> None:
    name = unique("policy")
    administrator.open("/policies")
    administrator.page.get_by_label("Name", exact=True).fill(name)
    editor = administrator.page.get_by_label("Document", exact=True)
    good = editor.input_value()
    editor.fill(good.replace('"Allow"', '"Alow"'))
    administrator.page.locator("#check", has_text="line 5, column").wait_for()
    administrator.press("Create the policy")
    assert "line 5, column" in administrator.text
    assert violations(administrator.page, axe) == []
    administrator.page.get_by_label("Document", exact=True).fill(good)
    administrator.press("Store")
    assert json.loads(iot.get_policy(policyName=name)["policyDocument"]) == json.loads(good)
    administrator.page.get_by_label("Document of the version").fill(good.replace("iot:Connect", "iot:Publish"))
    administrator.press("Store as a new version")
    assert iot.get_policy(policyName=name)["defaultVersionId"] == "2"
    administrator.press("Put in force: version 1")
    administrator.press("Delete version 2")
    assert "None: it is attached to nothing." in administrator.text
    administrator.press("Delete the policy")
    assert administrator.open(f"/policies/{name}") == 404


def test_the_simulator_shows_the_statement_that_decides(administrator: Tab, filled: Filled, axe: str) -> None:
    administrator.open("/simulator")
    administrator.page.get_by_label("ARN of a certificate").fill(filled.credentials.arn)
    administrator.page.get_by_label("Client id").fill(filled.thing)
    administrator.page.get_by_role("button", name="Simulate").click()
    administrator.page.get_by_text("statement 1 of the policy").wait_for()
    assert "ALLOWED" in administrator.text
    assert "at line 1, column" in administrator.text
    assert violations(administrator.page, axe) == []
    administrator.page.get_by_label("Policies to leave out").fill(filled.policy)
    administrator.page.get_by_role("button", name="Simulate").click()
    administrator.page.get_by_text("no statement allows it, so it is denied").wait_for()


def test_a_template_is_created_previewed_and_claimed(administrator: Tab, iot: IoT, axe: str) -> None:
    name = unique("template")
    administrator.open("/fleets")
    administrator.page.get_by_text("New template").click()
    administrator.page.get_by_label("Name", exact=True).fill(name)
    administrator.press("Create the template")
    administrator.page.get_by_label("SerialNumber").fill("press-4")
    administrator.page.get_by_role("button", name="Show the plan").click()
    administrator.page.get_by_text("What the template registers", exact=True).wait_for()
    assert "press-4" in administrator.page.locator("#preview").inner_text()
    assert violations(administrator.page, axe) == []
    body = administrator.page.get_by_label("Body of the version in force")
    body.fill("no template")
    administrator.press("Store as a new version")
    assert "The request was refused" in administrator.text
    administrator.open(f"/fleets/{name}")
    body.fill(body.input_value().replace("SerialNumber", "Batch"))
    administrator.press("Store as a new version")
    assert administrator.page.get_by_label("Batch").count() == 1
    assert violations(administrator.page, axe) == []
    administrator.press("Put in force: version 1")
    assert iot.describe_provisioning_template(templateName=name)["defaultVersionId"] == 1
    administrator.press("Make a claim, valid for five minutes")
    assert "PRIVATE KEY" in administrator.text
    assert violations(administrator.page, axe) == []
    administrator.open(f"/fleets/{name}")
    administrator.press("Disable: devices cannot register with it")
    assert iot.describe_provisioning_template(templateName=name)["enabled"] is False
    administrator.press("Delete the template")
    assert administrator.open(f"/fleets/{name}") == 404


def test_an_own_ca_is_changed_and_its_devices_are_registered_by_a_template(
    administrator: Tab, iot: IoT, filled: Filled, axe: str
) -> None:
    template = unique("jitp")
    body = iot.describe_provisioning_template(templateName=filled.template)["templateBody"]
    body = body.replace("Serial", "AWS::IoT::Certificate::CommonName")
    iot.create_provisioning_template(
        templateName=template, templateBody=body, provisioningRoleArn=ROLE, enabled=True, type="JITP"
    )
    ca = iot.register_ca_certificate(
        caCertificate=new_ca(unique("ca"), at=dt.datetime.now(dt.UTC)).pem, certificateMode="SNI_ONLY"
    )
    administrator.open("/fleets")
    administrator.page.get_by_role("link", name=ca["certificateId"]).click()
    assert "Devices are not registered when they connect." in administrator.text
    administrator.page.get_by_label("Template of the type JITP").fill(template)
    administrator.press("Register devices")
    administrator.press("Activate")
    described = iot.describe_ca_certificate(certificateId=ca["certificateId"])
    assert described["registrationConfig"]["templateName"] == template
    assert described["certificateDescription"]["autoRegistrationStatus"] == "ENABLE"
    assert described["certificateDescription"]["status"] == "ACTIVE"
    assert administrator.page.get_by_role("link", name=template).count() == 1
    assert violations(administrator.page, axe) == []
    administrator.press("Do not register devices")
    administrator.press("Deactivate")
    administrator.press("Delete the CA certificate")
    assert administrator.open(f"/authorities/{ca['certificateId']}") == 404


def test_a_device_is_seen_sent_a_message_and_disconnected(
    administrator: Tab, live: Live, iot: IoT, filled: Filled, tmp_path: Path
) -> None:
    credentials = new_credentials(iot)
    client_id = unique(HOSTILE)
    administrator.open(f"/devices?follow=on&client={urllib.parse.quote(client_id)}")
    assert "No device is connected." in administrator.text
    with device(live, credentials, tmp_path, client_id) as connected:
        administrator.page.get_by_role("link", name=client_id[:40]).first.click()
        assert "connectedSince" in administrator.text
        administrator.page.get_by_label("Topic", exact=True).fill("down")
        administrator.page.get_by_label("Payload").fill("hello")
        administrator.press("Send")
        assert bytes(connected.hear().payload) == b"hello"
        administrator.page.go_back()
        administrator.press("Disconnect")
        connected.disconnected.get(timeout=30)
    assert_unharmed(administrator)


def test_a_topic_is_watched(administrator: Tab, iot: IoT, live: Live, tmp_path: Path) -> None:
    credentials, topic = new_credentials(iot), unique("watched")
    with device(live, credentials, tmp_path, unique("client")) as connected:
        administrator.open(f"/devices/watch?filter={topic}%2F%23")
        administrator.page.get_by_text("Watching.").wait_for()
        connected.publish(f"{topic}/<b>1</b>", HOSTILE.encode())
        administrator.page.locator("#messages li").wait_for()
        assert HOSTILE in administrator.text
        assert f"{topic}/<b>1</b>" in administrator.text
    assert_unharmed(administrator)


def test_refusals_of_devices_are_shown_with_their_reason(
    administrator: Tab, iot: IoT, live: Live, tmp_path: Path
) -> None:
    only_connect = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
    }
    credentials, client_id = new_credentials(iot, json.dumps(only_connect)), unique("refused")
    with device(live, credentials, tmp_path, client_id) as connected:
        assert not connected.subscribe(f"a/{HOSTILE}")
        administrator.open(f"/devices?client={client_id}")
        assert "iot:Subscribe" in administrator.text
        assert "IMPLICIT_DENY" in administrator.text
    assert_unharmed(administrator)


def test_the_audit_trail_is_filtered_followed_and_exported(administrator: Tab, iot: IoT) -> None:
    name = unique("audited")
    iot.create_thing(thingName=name)
    administrator.open("/audit")
    administrator.page.get_by_label("Resource has").fill(name)
    administrator.press("Search")
    assert "CreateThing" in administrator.text
    with administrator.page.expect_download() as downloading:
        administrator.page.get_by_role("button", name="Export as JSON lines").click()
    lines = Path(downloading.value.path()).read_text().splitlines()
    assert [json.loads(line)["action"] for line in lines] == ["CreateThing"]
    administrator.press("Follow")
    iot.delete_thing(thingName=name)
    administrator.page.locator("#entries", has_text="DeleteThing").wait_for()


def test_what_others_choose_runs_in_no_page(administrator: Tab, iot: IoT, other_account: str) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(x509.NameOID.COMMON_NAME, HOSTILE[:64]),
            x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "<script>window.xss=1</script>"),
        ]
    )
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=9))
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM).decode()
    registered = iot.register_certificate_without_ca(certificatePem=pem, status="ACTIVE")["certificateId"]
    sent = iot.create_keys_and_certificate(setAsActive=False)["certificateId"]
    iot.transfer_certificate(certificateId=sent, targetAwsAccount=other_account, transferMessage=HOSTILE)
    for path in (
        "/certificates",
        "/certificates?serial-number=4d",
        f"/certificates?common-name={HOSTILE}",
        f"/certificates?id={HOSTILE}&thing={HOSTILE}&status={HOSTILE}&led-by={HOSTILE}&after={HOSTILE}",
        f"/certificates/{registered}",
        f"/certificates/{sent}",
        f"/certificates/{HOSTILE.replace('/', '')}",
        f"/things?attribute={HOSTILE}&value={HOSTILE}",
        f"/groups?prefix={HOSTILE}",
        "/groups/sensors",
        f"/devices?client={HOSTILE}&certificate={HOSTILE}",
        f"/devices/client?id={HOSTILE}",
        f"/devices/watch?filter={HOSTILE}",
        f"/audit?action={HOSTILE}&resource={HOSTILE}&principal={HOSTILE}&since={HOSTILE}",
        f"/simulator?principal={HOSTILE}",
        f"/policies?done={HOSTILE}",
    ):
        administrator.page.goto(f"{administrator.origin}/console{path}", wait_until="load")
        assert_unharmed(administrator)
    administrator.open(f"/certificates/{registered}")
    assert "window.xss=1" in administrator.text


def assert_unharmed(tab: Tab) -> None:
    """Assert that nothing of a hostile text became an element or ran."""
    assert tab.page.locator("[data-xss]").count() == 0
    assert tab.page.evaluate("window.xss === undefined")


def test_keys_whose_reading_would_stop_the_node_for_minutes_are_not_read(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    shown = pages.post("/create/read", request_pem=diffie_hellman_request())
    assert (shown.status, "cannot be read" in shown.text) == (200, True)
    own = {"certificate_id": "0" * 64, "format": "p12", "passphrase": "correct horse"}
    device, slow = pem_of(new_ca().issue()), pem_of(diffie_hellman_certificate())
    key = long_rsa_key()
    for certificate, private_key in ((device, key), (slow, key), (device, f"x\n{key}"), (device, "")):
        answer = pages.post("/create/download", None, certificate_pem=certificate, private_key=private_key, **own)
        assert answer.status == 400


def test_certificates_and_requests_that_cannot_be_parsed_are_refused(live: Live) -> None:
    pages = Pages(live).sign_in(live.administrator)
    der = with_unknown_version(ssl.PEM_cert_to_DER_cert(pem_of(new_ca().issue())))
    request = signing_request("lamp").replace(" REQUEST", "")
    unknown = ssl.DER_cert_to_PEM_cert(with_unknown_version(ssl.PEM_cert_to_DER_cert(request)))
    shown = pages.post("/create/read", request_pem=unknown.replace(" CERTIFICATE", " CERTIFICATE REQUEST"))
    assert shown.status == 400
    own = {"certificate_id": "0" * 64, "format": "p12", "passphrase": "correct horse", "private_key": long_rsa_key()}
    assert pages.post("/create/download", None, certificate_pem=ssl.DER_cert_to_PEM_cert(der), **own).status == 400


def test_a_registered_certificate_whose_extensions_cannot_be_parsed_is_shown(live: Live, iot: IoT) -> None:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, unique("odd"))])
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(x509.Name([]))
        .public_key(key.public_key())
        .serial_number(77)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=9))
        .add_extension(x509.SubjectAlternativeName([x509.DirectoryName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    der, named = certificate.public_bytes(serialization.Encoding.DER), name.public_bytes()
    # The value is a UTF8String (X.690, 8.1.2: tag 12), and becomes a BIT STRING (tag 3).
    place = named.rindex(b"\x06\x03\x55\x04\x03\x0c") + 5
    odd = ssl.DER_cert_to_PEM_cert(der.replace(named, named[:place] + b"\x03" + named[place + 1 :]))
    registered = iot.register_certificate_without_ca(certificatePem=odd, status="ACTIVE")["certificateId"]
    shown = Pages(live).sign_in(live.administrator).get(f"/certificates/{registered}")
    assert (shown.status, "An extension is not formed as RFC 5280 says." in shown.text) == (200, True)
