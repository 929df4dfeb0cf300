"""After a rotation the console shows both issuers, and a downloaded identity has the one that signed it."""

import io
import zipfile
from contextlib import closing
from pathlib import Path

from cryptography import x509
from tests.support.clients.aws import Live
from tests.support.console.console_pages import Pages
from tests.support.services.forked import run_thingmint
from tests.support.services.nodes import eventually
from tests.support.services.service import running_service

EVERYTHING = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}


def test_identities_have_the_issuer_that_signed_them(tmp_path: Path) -> None:
    with running_service(tmp_path / "data", key_reserve=0) as service:
        live = Live(service, None)
        with closing(live.client()) as iot:
            before = iot.create_keys_and_certificate(setAsActive=True)
            run_thingmint("issuer", "rotate", "--data-dir", str(service.data_dir), check=True)
            first = issuer_name(before["certificatePem"])
            after = eventually(
                lambda: iot.create_keys_and_certificate(setAsActive=True),
                lambda created: issuer_name(created["certificatePem"]) != first,
            )
        pages = Pages(live).sign_in(live.create_access_key(EVERYTHING))
        for each in (before, after):
            answer = pages.post(
                "/create/download",
                certificate_id=each["certificateId"],
                certificate_pem=each["certificatePem"],
                private_key=each["keyPair"]["PrivateKey"],
                format="zip",
            )
            assert answer.status == 200
            with zipfile.ZipFile(io.BytesIO(answer.body)) as archive:
                above = x509.load_pem_x509_certificate(archive.read("device-ca.pem"))
            x509.load_pem_x509_certificate(each["certificatePem"].encode()).verify_directly_issued_by(above)
        shown = pages.get("/authorities").text
        assert all(issuer_name(each["certificatePem"]) in shown for each in (before, after))


def issuer_name(pem: str) -> str:
    return x509.load_pem_x509_certificate(pem.encode()).issuer.rfc4514_string()
