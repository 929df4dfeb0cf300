"""Every form of the console, sent by callers who may not change anything: nothing is changed, and nothing is told."""

import json
import re
from collections.abc import Iterator

import pytest
from tests.console.conftest import Filled
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import AccessKey, IoT, Live
from tests.support.console.console_pages import Pages

from thingmint.console.certificate_actions import ACTIONS
from thingmint.console.table import PAGES

# What each page with several buttons does.
DOES = {
    "/things/{thing}": ("update", "delete", "join", "leave"),
    "/groups/{group}": ("update", "delete", "add", "remove", "attach", "detach"),
    "/policies/{policy}": ("save", "choose", "delete-version", "delete"),
    "/fleets/{template}": ("enable", "disable", "save", "choose", "claim", "delete"),
    "/devices/client": ("disconnect", "send"),
    "/authorities/{ca}": ("activate", "deactivate", "no-registration", "registration", "delete"),
    "/certificates/bulk/step": tuple(name for name, action in ACTIONS.items() if action.in_bulk),
}
# These compute something from the form, and read and change nothing of the registry.
OF_THE_FORM = {"/create/read", "/create/download", "/policies/check", "/certificates/bulk"}


def forms(filled: Filled) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the pattern, the path and the fields of every form."""
    names = {
        "certificate": filled.certificate_id,
        "thing": filled.thing,
        "group": filled.group,
        "policy": filled.policy,
        "template": filled.template,
        "task": "00000000-0000-0000-0000-000000000000",
        "ca": "ab" * 32,
    }
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "iot:*", "Resource": "*"}]}
    fields = {
        "name": "stranger",
        "thing": filled.thing,
        "group": filled.group,
        "policy": filled.policy,
        "selected": filled.certificate_id,
        "document": json.dumps(policy),
        "request_pem": csr_pem("p-256"),
        "body": "{}",
        "role": "arn:aws:iam::000000000000:role/r",
        "type": "FLEET_PROVISIONING",
        "version": "1",
        "bucket": "b",
        "key": "k",
        "topic": "t",
        "payload": "p",
        "account": "111111111111",
        "template": "t",
        "principal": filled.credentials.arn,
        "action": "PUBLISH",
        "resources": "arn:aws:iot:us-east-1:000000000000:topic/a",
    }
    for page in PAGES:
        pattern = page.path.removeprefix("/console")
        if page.method != "POST" or pattern in OF_THE_FORM:
            continue
        if pattern.endswith("{action}"):
            for action in ACTIONS:
                yield pattern, f"/certificates/{filled.certificate_id}/{action}", fields
            continue
        path = re.sub(r"\{(\w+)\}", lambda found: names[found[1]], pattern)
        for do in DOES.get(pattern, ("",)):
            extra = {"action": do} if "bulk" in pattern else {"do": do}
            yield pattern, path + ("?id=a" if pattern == "/devices/client" else ""), {**fields, **extra}


@pytest.mark.parametrize("role", ["reader", "nobody"])
def test_no_form_changes_anything_for_who_may_not(
    live: Live, iot: IoT, filled: Filled, request: pytest.FixtureRequest, role: str
) -> None:
    key: AccessKey = request.getfixturevalue(role)
    pages, owners = Pages(live).sign_in(key), Pages(live).sign_in(live.administrator)
    before = owners.get("/audit/export").text.splitlines()
    sent = list(forms(filled))
    for pattern, path, fields in sent:
        answer = pages.post(path, None, **fields)
        what = (path, fields.get("do"), answer.status)
        if pattern == "/certificates/bulk/step":
            assert "is not authorized to perform" in answer.text, what
        elif pattern in ("/simulator", "/fleets/{template}/preview") and role == "reader":
            assert answer.status == 200, what
        elif pattern == "/simulator":
            assert "is not authorized to perform" in answer.text, what
        else:
            assert answer.status == 403, what
        assert "PRIVATE KEY" not in answer.text
    assert {pattern for pattern, _, _ in sent} > set(DOES)
    assert owners.get("/audit/export").text.splitlines() == before
    assert iot.describe_certificate(certificateId=filled.certificate_id)["certificateDescription"]["status"] == "ACTIVE"


def test_no_form_is_served_without_a_session(live: Live, filled: Filled) -> None:
    pages = Pages(live)
    for _, path, fields in forms(filled):
        answer = pages.post(path, None, **fields)
        assert (answer.status, answer.headers["location"]) == (303, "/console/login"), path
