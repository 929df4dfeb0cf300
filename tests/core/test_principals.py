"""The ids of principals: each names one certificate or access key, and is read back as what it was."""

import pytest

from thingmint.core.identifiers import AccountId, CertificateId, PrincipalId, Region, Scope
from thingmint.core.policies.target import CertificateTarget
from thingmint.core.principals import (
    AccessKeyTarget,
    PrincipalTarget,
    is_access_key,
    parse_principal_id,
    principal_target,
    shown_principal,
)

SCOPE = Scope(AccountId("000000000000"), Region("us-east-1"))
CERTIFICATE = CertificateTarget(SCOPE, CertificateId("ab" * 32))
KEY = AccessKeyTarget(SCOPE, "AIDAEXAMPLE", "AKIA:EXAMPLE")


@pytest.mark.parametrize("target", [CERTIFICATE, KEY])
def test_a_principal_is_found_by_its_id(target: PrincipalTarget) -> None:
    stored: PrincipalId = parse_principal_id(str(target.principal_id))
    assert principal_target(SCOPE, stored) == target


def test_events_show_the_certificate_or_the_user() -> None:
    assert shown_principal(CERTIFICATE.principal_id) == CERTIFICATE.certificate_id
    assert shown_principal(KEY.principal_id) == "AIDAEXAMPLE"
    assert [is_access_key(each.principal_id) for each in (CERTIFICATE, KEY)] == [False, True]
