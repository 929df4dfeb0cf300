"""What an access key's policy allows and denies, as AWS's SDK for Python shows it."""

from collections.abc import Callable

import pytest
from tests.support.certificates.signing_requests import csr_pem
from tests.support.clients.aws import AccessKey, ClientOf, IoT, Live, allow, deny, policy, refusal_of

CREATE = "iot:CreateKeysAndCertificate"
DENIED = ("AccessDeniedException", 403)


@pytest.fixture(scope="module")
def reader(live: Live) -> AccessKey:
    """A key that may look and may not create."""
    return live.create_access_key(policy(allow("iot:Describe*", "iot:List*")), "--user", "auditor")


def created_by(administrator: IoT, status: str = "INACTIVE") -> tuple[str, str]:
    created = administrator.create_certificate_from_csr(
        certificateSigningRequest=csr_pem("p-256"), setAsActive=status == "ACTIVE"
    )
    return created["certificateId"], created["certificateArn"]


def test_a_key_without_the_action_is_refused_in_awss_words(live: Live, client_of: ClientOf, reader: AccessKey) -> None:
    refusal = refusal_of(client_of(live, reader).create_keys_and_certificate)

    assert (refusal.name, refusal.status) == DENIED
    assert refusal.message == (
        f"User: arn:aws:iam::000000000000:user/auditor is not authorized to perform: {CREATE} on resource: * "
        f"because no identity-based policy allows the {CREATE} action"
    )


def test_a_key_may_do_what_its_wildcards_cover(live: Live, iot: IoT, client_of: ClientOf, reader: AccessKey) -> None:
    certificate_id, _ = created_by(iot)
    client = client_of(live, reader)

    assert client.describe_certificate(certificateId=certificate_id)["certificateDescription"]["status"] == "INACTIVE"
    assert client.list_certificates(pageSize=1)["certificates"]
    assert client.describe_endpoint()["endpointAddress"]
    for refused in (
        lambda: client.update_certificate(certificateId=certificate_id, newStatus="ACTIVE"),
        lambda: client.delete_certificate(certificateId=certificate_id),
        lambda: client.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256")),
    ):
        assert (refusal_of(refused).name, refusal_of(refused).status) == DENIED
    assert iot.describe_certificate(certificateId=certificate_id)["certificateDescription"]["customerVersion"] == 1


def test_an_explicit_deny_wins_and_the_refusal_names_it(live: Live, client_of: ClientOf) -> None:
    key = live.create_access_key(policy(allow("iot:*"), deny(CREATE)), "--user", "line-7")
    client = client_of(live, key)

    refusal = refusal_of(client.create_keys_and_certificate)

    assert (refusal.name, refusal.status) == DENIED
    assert refusal.message == (
        f"User: arn:aws:iam::000000000000:user/line-7 is not authorized to perform: {CREATE} on resource: * "
        "with an explicit deny in an identity-based policy"
    )
    assert client.create_certificate_from_csr(certificateSigningRequest=csr_pem("p-256"))["certificateId"]


def test_a_policy_for_one_certificate_does_not_reach_another(live: Live, iot: IoT, client_of: ClientOf) -> None:
    (own_id, own_arn), (other_id, other_arn) = created_by(iot), created_by(iot)
    key = live.create_access_key(policy(allow("iot:*Certificate", resource=own_arn)), "--user", "owner")
    client = client_of(live, key)

    client.update_certificate(certificateId=own_id, newStatus="ACTIVE")
    refusal = refusal_of(client.update_certificate, certificateId=other_id, newStatus="ACTIVE")

    assert client.describe_certificate(certificateId=own_id)["certificateDescription"]["status"] == "ACTIVE"
    assert (refusal.name, refusal.status) == DENIED
    assert refusal.message == (
        "User: arn:aws:iam::000000000000:user/owner is not authorized to perform: iot:UpdateCertificate "
        f"on resource: {other_arn} because no identity-based policy allows the iot:UpdateCertificate action"
    )


def test_a_deny_for_one_certificate_is_not_escaped_by_another_spelling(
    live: Live, iot: IoT, client_of: ClientOf
) -> None:
    (kept_id, kept_arn), (other_id, _) = created_by(iot), created_by(iot)
    key = live.create_access_key(policy(allow("*"), deny("iot:DeleteCertificate", resource=kept_arn)))
    client = client_of(live, key)

    client.delete_certificate(certificateId=other_id)
    for spelling in (kept_id, kept_id.upper()):
        refusal = refusal_of(client.delete_certificate, certificateId=spelling)
        assert (refusal.name, refusal.status) == DENIED
    assert iot.describe_certificate(certificateId=kept_id)["certificateDescription"]["certificateId"] == kept_id


@pytest.mark.parametrize(("source", "is_allowed"), [("127.0.0.0/8", True), ("192.0.2.0/24", False)])
def test_a_condition_on_the_source_address_decides(
    live: Live, client_of: ClientOf, source: str, is_allowed: bool
) -> None:
    here = allow("iot:DescribeEndpoint") | {"Condition": {"IpAddress": {"aws:SourceIp": source}}}
    client = client_of(live, live.create_access_key(policy(here)))
    call: Callable[[], dict[str, str]] = client.describe_endpoint

    if is_allowed:
        assert call()["endpointAddress"]
    else:
        assert (refusal_of(call).name, refusal_of(call).status) == DENIED


def test_a_deleted_key_is_unknown_at_once(live: Live, client_of: ClientOf) -> None:
    key = live.create_access_key(policy(allow("iot:*")))
    client = client_of(live, key)
    assert client.describe_endpoint()["endpointAddress"]

    live.thingmint("access-key", "delete", key.access_key_id)

    refusal = refusal_of(client.describe_endpoint)
    assert (refusal.name, refusal.status) == ("UnrecognizedClientException", 403)


def test_the_list_of_keys_names_users_and_shows_no_secret(live: Live, reader: AccessKey) -> None:
    listed = live.thingmint("access-key", "list", "--json")

    assert reader.access_key_id in listed
    assert "auditor" in listed
    assert reader.secret_access_key not in listed
