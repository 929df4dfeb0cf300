"""Enrollment over Secure Transport, judged by curl and OpenSSL: they fetch, enroll, renew and verify."""

import base64
import hashlib
import json
import random
import re
import ssl
from collections.abc import Callable, Iterator
from http.client import HTTPSConnection
from pathlib import Path
from typing import Any

import pytest
from tests.clients.test_bad_requests import WRITTEN_BY_ITSELF
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.clients.est import EstAnswer, EstClient, certificates_of, run
from tests.support.console.console_pages import Pages
from tests.support.databases.database import tables_of
from tests.support.machine.soak import examples

PROVISIONING = {
    "Parameters": {"ThingName": {"Type": "String"}, "SerialNumber": {"Type": "String"}},
    "Resources": {
        "certificate": {
            "Type": "AWS::IoT::Certificate",
            "Properties": {"CertificateId": {"Ref": "AWS::IoT::Certificate::Id"}},
        },
        "thing": {
            "Type": "AWS::IoT::Thing",
            "Properties": {
                "ThingName": {"Ref": "ThingName"},
                "AttributePayload": {"serial": {"Ref": "SerialNumber"}},
            },
        },
        "policy": {
            "Type": "AWS::IoT::Policy",
            "Properties": {
                "PolicyDocument": {
                    "Version": "2012-10-17",
                    "Statement": [{"Effect": "Allow", "Action": "iot:Connect", "Resource": "*"}],
                }
            },
        },
    },
}


@pytest.fixture
def client(live: Live, tmp_path: Path) -> EstClient:
    """A device that holds nothing yet."""
    return EstClient(live, tmp_path)


@pytest.fixture(scope="module")
def template(live: Live, administrators: Callable[[Live], IoT]) -> str:
    """A provisioning template whose thing is named after the subject of the request."""
    administrators(live).create_provisioning_template(
        templateName="est-lamps",
        templateBody=json.dumps(PROVISIONING),
        provisioningRoleArn="arn:aws:iam::000000000000:role/Provisioning",
        enabled=True,
    )
    return "est-lamps"


def certificate_id(der: bytes) -> str:
    return hashlib.sha256(der).hexdigest()


def test_the_authorities_verify_what_is_enrolled(client: EstClient, live: Live, iot: IoT) -> None:
    authorities = client.ask("cacerts")
    assert (authorities.status, authorities.headers["content-transfer-encoding"]) == (200, "base64")
    (client.folder / "authorities.pem").write_bytes(certificates_of(authorities.body))
    attributes = run("openssl", "base64", "-d", "-A", stdin=client.ask("csrattrs").body)
    assert b"prime256v1" in run("openssl", "asn1parse", "-inform", "DER", stdin=attributes)

    der = client.certificate("lamp", client.ask("simpleenroll", client.request("lamp"), key=live.administrator))

    run("openssl", "verify", "-CAfile", client.folder / "authorities.pem", client.folder / "lamp.pem")
    subject = run("openssl", "x509", "-noout", "-subject", "-in", client.folder / "lamp.pem")
    assert subject == b"subject=CN = lamp\n"
    described = iot.describe_certificate(certificateId=certificate_id(der))["certificateDescription"]
    assert described["status"] == "ACTIVE"


def test_a_key_is_made_by_the_server_and_read_by_openssl(client: EstClient, live: Live, iot: IoT) -> None:
    answer = client.ask("serverkeygen", client.request("throwaway", "/CN=made"), key=live.administrator)
    der = client.key_and_certificate("made", answer)

    certified = run("openssl", "x509", "-noout", "-pubkey", "-in", client.folder / "made.pem")
    assert run("openssl", "pkey", "-pubout", "-in", client.folder / "made.key") == certified
    assert run("openssl", "x509", "-noout", "-subject", "-in", client.folder / "made.pem") == b"subject=CN = made\n"
    assert iot.describe_certificate(certificateId=certificate_id(der))["certificateDescription"]["status"] == "ACTIVE"
    key = (client.folder / "made.key").read_text().splitlines()[1]
    assert key not in live.service.log


def test_key_and_signature_of_a_request_for_a_key_are_ignored(
    client: EstClient, connection: HTTPSConnection, live: Live
) -> None:
    """RFC 7030, 4.4.1: both are there only because requests of this form have them."""
    broken = bytearray(client.request("throwaway", "/CN=broken"))
    broken[-1] ^= 1
    weak = weak_request(client, "/CN=weak")
    for name, der in (("broken", bytes(broken)), ("weak", weak)):
        assert client.ask("simpleenroll", der, key=live.administrator).status == 400
        client.key_and_certificate(name, client.ask("serverkeygen", der, key=live.administrator))
        subject = run("openssl", "x509", "-noout", "-subject", "-in", client.folder / f"{name}.pem")
        assert subject == f"subject=CN = {name}\n".encode()
    path = "/.well-known/est/serverkeygen"
    headers = {"Authorization": authorization(live.administrator), "Content-Type": "application/pkcs10"}
    for der, said in ((bytes(broken)[:-5], "not a PKCS#10 request"), (client.request("a", "/CN=a\x01"), "control")):
        refused = asked(connection, "POST", path, base64.b64encode(der), headers)
        assert (refused.status, said in refused.text) == (400, True), refused.text


def test_answers_are_base64_without_white_space(client: EstClient, live: Live) -> None:
    """RFC 8951, 3, and RFC 4648, 3.1. strongSwan, for one, does not skip white space."""
    enrolled = client.ask("simpleenroll", client.request("lamp"), key=live.administrator)
    bodies = [client.ask("cacerts").body, client.ask("csrattrs").body, enrolled.body]
    made = client.ask("serverkeygen", client.request("throwaway", "/CN=made"), key=live.administrator)
    boundary = made.headers["content-type"].partition('boundary="')[2].rstrip('"').encode()
    # RFC 2046, 5.1.1: a delimiter begins with a line end.
    first, *parts, last = (b"\r\n" + made.body).split(b"\r\n--" + boundary)
    assert (first, len(parts), last) == (b"", 2, b"--\r\n")
    bodies += [part.partition(b"\r\n\r\n")[2] for part in parts]
    for body in bodies:
        assert base64.b64encode(base64.b64decode(body, validate=True)) == body


def test_a_claim_enrolls_by_its_template_and_by_no_other_way(client: EstClient, iot: IoT, template: str) -> None:
    claim = iot.create_provisioning_claim(templateName=template)
    (client.folder / "claim.pem").write_text(claim["certificatePem"])
    (client.folder / "claim.key").write_text(claim["keyPair"]["PrivateKey"])
    name = f"lamp-{claim['certificateId'][:12]}"
    request = client.request("device", f"/CN={name}/serialNumber=S17")

    for path, status, said in (
        ("simpleenroll", 403, f"is for the provisioning template {template}"),
        ("another/simpleenroll", 403, "iot:Publish"),
    ):
        refused = client.ask(path, request, identity="claim")
        assert (refused.status, said in refused.text) == (status, True), refused.text
        assert refused.headers["content-type"].startswith("text/plain")
    der = client.certificate("device", client.ask(f"{template}/simpleenroll", request, identity="claim"))

    thing = iot.describe_thing(thingName=name)
    assert thing["attributes"] == {"serial": "S17"}
    (principal,) = iot.list_thing_principals(thingName=name)["principals"]
    assert principal.endswith(certificate_id(der))
    assert len(iot.list_attached_policies(target=principal)["policies"]) == 1
    made = client.ask(
        f"{template}/serverkeygen", client.request("device", f"/CN={name}-2/serialNumber=S18"), identity="claim"
    )
    client.key_and_certificate("second", made)
    assert iot.describe_thing(thingName=f"{name}-2")["attributes"] == {"serial": "S18"}


def test_an_access_key_needs_its_permissions(client: EstClient, live: Live, template: str) -> None:
    request = client.request("lamp", "/CN=lamp-of-key/serialNumber=S1")
    statement = {"Effect": "Allow", "Action": "iot:CreateCertificateFromCsr", "Resource": "*"}
    key = live.create_access_key({"Version": "2012-10-17", "Statement": [statement]})

    assert client.ask("simpleenroll", request, key=key).status == 200
    for path, action in (("serverkeygen", "CreateKeysAndCertificate"), (f"{template}/simpleenroll", "RegisterThing")):
        refused = client.ask(path, request, key=key)
        assert (refused.status, f"iot:{action}" in refused.text) == (403, True), refused.text
    assert client.ask("missing/simpleenroll", request, key=live.administrator).status == 404


def test_who_is_not_known_is_asked_who_it_is(client: EstClient, live: Live) -> None:
    request = client.request("nobody")
    run(
        *("openssl", "req", "-x509", "-new", "-key", client.key("nobody"), "-subj", "/CN=nobody", "-days", "2"),
        *("-out", client.folder / "nobody.pem"),
    )
    wrong = AccessKey(live.administrator.access_key_id, "wrong")
    for refused in (
        client.ask("simpleenroll", request),
        client.ask("simpleenroll", request, key=wrong),
        client.ask("simpleenroll", request, identity="nobody"),
        client.ask("simpleenroll", request, options=["-H", "Authorization: Bearer x"]),
    ):
        assert (refused.status, refused.headers["www-authenticate"].split()[0]) == (401, "Basic"), refused.text


def test_a_device_renews_and_keeps_what_it_is(client: EstClient, iot: IoT, live: Live, template: str) -> None:
    name = f"renewing-{live.database_url is None}"
    request = client.request("old", f"/CN={name}/serialNumber=S20")
    old = client.certificate("old", client.ask(f"{template}/simpleenroll", request, key=live.administrator))
    arn = iot.describe_certificate(certificateId=certificate_id(old))["certificateDescription"]["certificateArn"]
    policies = iot.list_attached_policies(target=arn)["policies"]
    subject = f"/CN={name}/serialNumber=S20"
    renewal = client.request("new", subject)
    before = contents(live)
    for refused, status, said in (
        (client.ask("simplereenroll", client.request("new", "/CN=other"), identity="old"), 400, "must be that of"),
        (
            client.ask(
                "simplereenroll",
                client.request("new", subject, "-addext", "subjectAltName=DNS:x"),
                identity="old",
            ),
            400,
            "subjectAltName",
        ),
        (client.ask("simplereenroll", renewal, key=live.administrator), 401, "client certificate"),
    ):
        assert (refused.status, said in refused.text) == (status, True), refused.text
    assert contents(live) == before

    new = client.certificate("new", client.ask("simplereenroll", renewal, identity="old"))

    # An answer that is lost is asked for again: it is the same one, whatever the encoding of the request.
    again = client.ask(f"{template}/simplereenroll", client.request("new", subject), identity="old")
    assert client.certificate("again", again) == new != old
    target = iot.describe_certificate(certificateId=certificate_id(new))["certificateDescription"]["certificateArn"]
    assert iot.list_attached_policies(target=target)["policies"] == policies != []
    assert set(iot.list_thing_principals(thingName=name)["principals"]) == {arn, target}
    pages = Pages(live).sign_in(live.administrator)
    shown = pages.get(f"/certificates/{certificate_id(old)}").text
    assert f'It was renewed as <a class="code" href="/console/certificates/{certificate_id(new)}">' in shown
    shown = pages.get(f"/certificates/{certificate_id(new)}").text
    assert f'It replaces <a class="code" href="/console/certificates/{certificate_id(old)}">' in shown
    # The new certificate is as good as the old one was: it renews itself.
    assert client.ask("simplereenroll", client.request("third", subject), identity="new").status == 200
    entries = [
        json.loads(line) for line in live.thingmint("audit", "--json", "--action", "RenewCertificate").splitlines()
    ]
    assert [entry["detail"]["renewed"] for entry in entries if entry["resource"] == target] == [certificate_id(old)]


@pytest.mark.parametrize("status", ["INACTIVE", "REVOKED"])
def test_a_certificate_counts_as_at_the_device_port(client: EstClient, live: Live, iot: IoT, status: str) -> None:
    der = client.certificate("lamp", client.ask("simpleenroll", client.request("lamp"), key=live.administrator))
    refused = client.ask("simpleenroll", client.request("lamp"), identity="lamp")
    assert (refused.status, "iot:Publish" in refused.text) == (403, True), refused.text

    iot.update_certificate(certificateId=certificate_id(der), newStatus=status)

    refused = client.ask("simpleenroll", client.request("lamp"), identity="lamp")
    assert (refused.status, f"DEVICE_CERTIFICATE_{status}" in refused.text) == (403, True), refused.text


def asked(connection: HTTPSConnection, method: str, path: str, body: bytes, headers: dict[str, str]) -> EstAnswer:
    connection.request(method, path, body, headers)
    with connection.getresponse() as answer:
        return EstAnswer(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


@pytest.fixture
def connection(live: Live) -> Iterator[HTTPSConnection]:
    endpoints = live.service.endpoints
    context = ssl.create_default_context(cafile=str(live.ca_file))
    assert endpoints.est_port is not None
    connection = HTTPSConnection("127.0.0.1", endpoints.est_port, context=context, timeout=60)
    yield connection
    connection.close()


def authorization(key: AccessKey) -> str:
    return "Basic " + base64.b64encode(f"{key.access_key_id}:{key.secret_access_key}".encode()).decode()


def contents(live: Live) -> dict[str, Any]:
    tables = tables_of(live.service.data_dir, live.database_url)
    return {name: rows for name, rows in tables.items() if name not in WRITTEN_BY_ITSELF}


def weak_request(client: EstClient, subject: str) -> bytes:
    """Return a signing request of an RSA key of 1024 bits."""
    options = ("-newkey", "rsa:1024", "-nodes", "-keyout", client.folder / "weak.key", "-subj", subject)
    return run("openssl", "req", "-new", *options, "-outform", "DER")


def test_bad_requests_are_explained(connection: HTTPSConnection, client: EstClient, live: Live) -> None:
    good = client.request("lamp")
    broken = bytearray(good)
    broken[-1] ^= 1
    headers = {"Authorization": authorization(live.administrator), "Content-Type": "application/pkcs10"}
    path = "/.well-known/est/simpleenroll"
    b64 = base64.b64encode
    weak = weak_request(client, "/CN=w")
    control = client.request("lamp", "/CN=a\x01b")
    before = contents(live)
    for body, said in (
        (b"", "empty"),
        (b"\xff not base64", "not base64"),
        (b64(b"no DER"), "not a PKCS#10 request"),
        (b64(good[:-5]), "not a PKCS#10 request"),
        (b64(bytes(broken)), "not signed by the private key"),
        (b64(weak), "2048"),
        (b64(control), "control character"),
        (run("openssl", "req", "-inform", "DER", stdin=good), "not base64"),
    ):
        refused = asked(connection, "POST", path, body, headers)
        assert (refused.status, said in refused.text) == (400, True), (body, refused.text)
    wrong_type = asked(connection, "POST", path, b64(good), {**headers, "Content-Type": "text/html"})
    assert (wrong_type.status, "application/pkcs10" in wrong_type.text) == (400, True)
    assert asked(connection, "POST", path, b"A" * 40_000, headers).status == 413
    assert asked(connection, "GET", path, b"", headers).headers["allow"] == "POST"
    assert asked(connection, "GET", "/.well-known/est/fullcmc", b"", {}).status == 404
    assert asked(connection, "GET", "/", b"", {}).status == 404
    assert contents(live) == before
    # Line breaks of every kind, and a Content-Transfer-Encoding that is not true, are read over (RFC 8951, 3).
    spaced = b"\r\n\r\n" + re.sub(rb"(.{1,7})", rb"\1 \t\r\n", b64(good))
    lax = {"Authorization": headers["Authorization"], "Content-Transfer-Encoding": "binary"}
    assert asked(connection, "POST", path, spaced, lax).status == 200


def harmed(der: bytes, chance: random.Random) -> bytes:
    """Return a request of which some bytes are changed, and which is often cut."""
    changed = bytearray(der)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= chance.randrange(1, 256)
    return bytes(changed[: chance.choice([len(changed), chance.randrange(len(changed))])])


@pytest.mark.soak
def test_malformed_requests_for_a_key_get_one_certificate_or_none(
    connection: HTTPSConnection, client: EstClient, live: Live
) -> None:
    """Only the subject and the attributes of these requests are used, so a changed key or signature does no harm."""
    chance = random.Random(11)
    good = client.request("fuzz", "/CN=fuzz", "-addext", "subjectAltName=DNS:fuzz")
    before = len(contents(live)["certificate"])
    headers = {"Authorization": authorization(live.administrator), "Content-Type": "application/pkcs10"}
    answers = [
        asked(connection, "POST", "/.well-known/est/serverkeygen", base64.b64encode(harmed(good, chance)), headers)
        for _ in range(examples(60, 2_000))
    ]
    assert {answer.status for answer in answers} == {200, 400}
    assert len(contents(live)["certificate"]) == before + sum(answer.status == 200 for answer in answers)


@pytest.mark.soak
def test_no_malformed_request_fails_or_changes_anything(
    connection: HTTPSConnection, client: EstClient, live: Live
) -> None:
    """Bytes of a good request are changed, cut and repeated; nothing is accepted but an unharmed one."""
    chance = random.Random(10)
    good = client.request("fuzz", "/CN=fuzz", "-addext", "subjectAltName=DNS:fuzz")
    before = contents(live)
    headers = {"Authorization": authorization(live.administrator), "Content-Type": "application/pkcs10"}
    segments = ["simpleenroll", "simplereenroll", "cacerts", "csrattrs", "%00", "..", "est", "%c3%a9"]
    for _ in range(examples(300, 10_000)):
        body = base64.b64encode(harmed(good, chance))
        if chance.random() < 0.2:
            body = bytes(chance.randrange(256) for _ in range(chance.randrange(80)))
        parts = [chance.choice(segments) for _ in range(chance.randint(1, 3))]
        path = "/".join(["/.well-known/est", *parts])
        sent = {name: value for name, value in headers.items() if chance.random() < 0.9}
        method = "GET" if chance.random() < 0.1 else "POST"
        try:
            answer = asked(connection, method, path, body, sent)
        except ConnectionError:
            connection.close()
            continue
        read = parts in (["cacerts"], ["csrattrs"]) or (len(parts) == 2 and parts[1] in ("cacerts", "csrattrs"))
        assert answer.status < 500, answer.text
        assert answer.status != 200 or (read and method == "GET"), (path, body)
    assert contents(live) == before
