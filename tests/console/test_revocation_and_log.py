"""The console shows revocation lists and the verifiable log, gives proofs out, and revokes with a reason."""

import base64
import html
import json
import re
import ssl
import urllib.parse
import urllib.request

from cryptography import x509
from tests.console.conftest import EVERYTHING, Filled
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.console.console_pages import Pages
from tests.support.services.nodes import eventually

from thingmint.core.transparency.checkpoint import LogKey, SignedCheckpoint, key_of_text, read_checkpoint
from thingmint.core.transparency.merkle import leaf_hash, verify_inclusion
from thingmint.issuance.keys.log_signature import is_signed


def fetched(live: Live, path: str) -> bytes:
    context = ssl.create_default_context(cafile=str(live.ca_file))
    with urllib.request.urlopen(live.service.endpoints.api + path, context=context) as answer:
        body: bytes = answer.read()
    return body


def code_after(page: str, heading: str) -> str:
    found = re.search(rf"{heading}</h3><pre[^>]*>(.*?)</pre>", page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def signed(note: str, key: LogKey) -> SignedCheckpoint:
    """Return the checkpoint after its signature was verified."""
    checkpoint = read_checkpoint(note, key)
    assert any(is_signed(key.public_key, checkpoint.body, each) for each in checkpoint.signatures)
    return checkpoint


def test_lists_and_the_log_are_shown_and_proofs_are_given_out(live: Live, filled: Filled) -> None:
    pages = Pages(live).sign_in(live.administrator)
    page = eventually(lambda: pages.get("/authorities").text, lambda text: "/crl/" in text)
    path = re.search(r'href="(/crl/[0-9a-f]{64}\.crl)"', page)
    assert path is not None
    number = x509.load_der_x509_crl(fetched(live, path[1])).extensions.get_extension_for_class(x509.CRLNumber)
    # Another test may have revoked something meanwhile: the list that is fetched is that one or a later one.
    shown = [int(each) for each in re.findall(r'<td class="right">(\d{10,})</td>', page)]
    assert shown
    assert number.value.crl_number >= min(shown)

    key = key_of_text(code_after(page, "Key that verifies it").strip())
    assert signed(code_after(page, "Checkpoint"), key).head.size > 0

    answer = eventually(
        lambda: pages.get(f"/certificates/{filled.certificate_id}/proof"), lambda found: found.status == 200
    )
    assert f'filename="{filled.certificate_id}.tlog-proof"' in answer.headers["content-disposition"]
    _assert_proves(answer.text, key)
    assert (
        f"/console/certificates/{filled.certificate_id}/proof"
        in pages.get(f"/certificates/{filled.certificate_id}").text
    )


def _assert_proves(text: str, key: LogKey) -> None:
    actions = list[str]()
    proofs = [each for each in text.split("c2sp.org/tlog-proof@v1\n") if each]
    for proof in proofs:
        lines, _, checkpoint = proof.partition("\n\n")
        extra, index, *hashes = lines.splitlines()
        leaf = base64.b64decode(extra.removeprefix("extra "))
        actions.append(json.loads(leaf)["action"])
        # A blank line stands between one proof and the next.
        head = signed(checkpoint.rstrip("\n") + "\n", key).head
        number, path = int(index.removeprefix("index ")), [base64.b64decode(each) for each in hashes]
        verify_inclusion(leaf_hash(leaf), number, head.size, path, head.root)
    assert actions[0] == "CreateKeysAndCertificate"


def test_who_may_not_read_the_log_gets_no_proof(live: Live, filled: Filled) -> None:
    key = live.create_access_key(
        {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Action": "*", "Resource": "*"},
                {"Effect": "Deny", "Action": ["thingmint:ReadLog", "thingmint:ReadStatus"], "Resource": "*"},
            ],
        }
    )
    pages = Pages(live).sign_in(key)
    assert pages.get(f"/certificates/{filled.certificate_id}/proof").status == 403
    assert "/proof" not in pages.get(f"/certificates/{filled.certificate_id}").text
    shown = pages.get("/authorities").text
    assert "tlog" not in shown
    assert "/crl/" not in shown
    other = live.create_access_key(EVERYTHING, "--account", "111111111111")
    assert "is not of the service&#39;s own account" in Pages(live).sign_in(other).get("/authorities").text


def test_a_certificate_is_revoked_with_a_reason(live: Live, iot: IoT, reader: AccessKey) -> None:
    certificate_id = iot.create_keys_and_certificate(setAsActive=True)["certificateId"]
    path = f"/certificates/{certificate_id}/revoke"
    assert Pages(live).sign_in(reader).post(path, reason="keyCompromise").status == 403
    pages = Pages(live).sign_in(live.administrator)
    asked = pages.get(path).text
    assert "<option>keyCompromise</option>" in asked
    assert "certificateHold" not in asked
    assert pages.post(path, reason="certificateHold").status == 400
    assert pages.post(path, reason="nonsense").status == 400
    assert iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"] == "ACTIVE"
    assert pages.post(path, reason="keyCompromise").status == 303
    assert iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"] == "REVOKED"
    entry = json.loads(live.thingmint("audit", "--resource", certificate_id, "--limit", "1", "--json"))
    assert (entry["action"], entry["detail"]["reason"]) == ("UpdateCertificate", "keyCompromise")


def test_a_selection_is_revoked_with_a_reason_that_every_step_keeps(live: Live, iot: IoT) -> None:
    ids = [iot.create_keys_and_certificate(setAsActive=True)["certificateId"] for _ in range(2)]
    absent = [f"{number:064x}" for number in range(10)]
    pages = Pages(live).sign_in(live.administrator)

    def sent(step: str, selected: list[str], **fields: str) -> tuple[int, str]:
        form = [("form_token", pages.form_token), ("action", "revoke"), *fields.items()]
        body = urllib.parse.urlencode([*form, *(("selected", each) for each in selected)]).encode()
        kind = {"content-type": "application/x-www-form-urlencoded"}
        answer = pages.ask("POST", f"/certificates/bulk{step}", body, kind)
        return answer.status, answer.text

    assert "<option>superseded</option>" in sent("", ids)[1]
    assert sent("/step", ids, reason="certificateHold")[0] == 400
    status, page = sent("/step", [*absent, *ids], reason="superseded")
    assert (status, page.count("does not exist")) == (200, 2 * len(absent))
    left = re.findall(r'name="selected" value="([0-9a-f]{64})"', page)
    kept = dict(re.findall(r'name="(reason|failed|succeeded)" value="(\w+)"', page))
    assert (left, kept) == (ids, {"reason": "superseded", "failed": "10", "succeeded": "0"})
    assert "12 of 12: 2 done, 10 refused" in sent("/step", left, **kept)[1]
    for certificate_id in ids:
        assert iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"] == "REVOKED"
        entry = json.loads(live.thingmint("audit", "--resource", certificate_id, "--limit", "1", "--json"))
        assert (entry["action"], entry["detail"]["reason"]) == ("UpdateCertificate", "superseded")
