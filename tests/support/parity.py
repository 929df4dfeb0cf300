"""Owns the page of operations: which there are, what there is to note, and by which live test each is proved.

    python -m tests.support.parity RECORD    take the proofs of a recorded run, write the page, print it

Who calls what is recorded by `tests/clients/conftest.py`; `make parity` does both.
"""

import json
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from tests.support.authority import new_authority

from thingmint.api.service import implemented_operations

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "reference" / "operations.md"
NOTES = _ROOT / "docs" / "reference" / "operations.toml"
PROOFS = _ROOT / "tests" / "clients" / "proofs.json"

# What AWS IoT's identities, policies, things and provisioning are managed with: the certificates' own operations, and
# all of thing types, groups of things, billing groups, tags and event configurations.
COMPARED = (
    "AcceptCertificateTransfer",
    "AddThingToBillingGroup",
    "AddThingToThingGroup",
    "AttachPolicy",
    "AttachPrincipalPolicy",
    "AttachThingPrincipal",
    "CancelCertificateTransfer",
    "CreateAuthorizer",
    "CreateBillingGroup",
    "CreateCertificateFromCsr",
    "CreateCertificateProvider",
    "CreateDomainConfiguration",
    "CreateDynamicThingGroup",
    "CreateJob",
    "CreateKeysAndCertificate",
    "CreatePolicy",
    "CreatePolicyVersion",
    "CreateProvisioningClaim",
    "CreateProvisioningTemplate",
    "CreateProvisioningTemplateVersion",
    "CreateRoleAlias",
    "CreateThing",
    "CreateThingGroup",
    "CreateThingType",
    "DeleteBillingGroup",
    "DeleteCACertificate",
    "DeleteCertificate",
    "DeleteCertificateProvider",
    "DeleteDynamicThingGroup",
    "DeletePolicy",
    "DeletePolicyVersion",
    "DeleteProvisioningTemplate",
    "DeleteProvisioningTemplateVersion",
    "DeleteRegistrationCode",
    "DeleteRoleAlias",
    "DeleteThing",
    "DeleteThingGroup",
    "DeleteThingType",
    "DeprecateThingType",
    "DescribeBillingGroup",
    "DescribeCACertificate",
    "DescribeCertificate",
    "DescribeCertificateProvider",
    "DescribeEndpoint",
    "DescribeEventConfigurations",
    "DescribeProvisioningTemplate",
    "DescribeProvisioningTemplateVersion",
    "DescribeRoleAlias",
    "DescribeThing",
    "DescribeThingGroup",
    "DescribeThingRegistrationTask",
    "DescribeThingType",
    "DetachPolicy",
    "DetachPrincipalPolicy",
    "DetachThingPrincipal",
    "GetEffectivePolicies",
    "GetPolicy",
    "GetPolicyVersion",
    "GetRegistrationCode",
    "ListAttachedPolicies",
    "ListBillingGroups",
    "ListCACertificates",
    "ListCertificateProviders",
    "ListCertificates",
    "ListCertificatesByCA",
    "ListOutgoingCertificates",
    "ListPolicies",
    "ListPolicyPrincipals",
    "ListPolicyVersions",
    "ListPrincipalPolicies",
    "ListPrincipalThings",
    "ListPrincipalThingsV2",
    "ListProvisioningTemplateVersions",
    "ListProvisioningTemplates",
    "ListRoleAliases",
    "ListTagsForResource",
    "ListTargetsForPolicy",
    "ListThingGroups",
    "ListThingGroupsForThing",
    "ListThingPrincipals",
    "ListThingPrincipalsV2",
    "ListThingRegistrationTaskReports",
    "ListThingRegistrationTasks",
    "ListThingTypes",
    "ListThings",
    "ListThingsInBillingGroup",
    "ListThingsInThingGroup",
    "RegisterCACertificate",
    "RegisterCertificate",
    "RegisterCertificateWithoutCA",
    "RegisterThing",
    "RejectCertificateTransfer",
    "RemoveThingFromBillingGroup",
    "RemoveThingFromThingGroup",
    "SetDefaultPolicyVersion",
    "StartOnDemandAuditTask",
    "StartThingRegistrationTask",
    "StopThingRegistrationTask",
    "TagResource",
    "TestAuthorization",
    "TestInvokeAuthorizer",
    "TransferCertificate",
    "UntagResource",
    "UpdateBillingGroup",
    "UpdateCACertificate",
    "UpdateCertificate",
    "UpdateCertificateProvider",
    "UpdateDynamicThingGroup",
    "UpdateEventConfigurations",
    "UpdateProvisioningTemplate",
    "UpdateRoleAlias",
    "UpdateThing",
    "UpdateThingGroup",
    "UpdateThingGroupsForThing",
    "UpdateThingType",
)
# What is in that list and will stay without an implementation, because it belongs to parts that Thingmint has not.
LEFT_OUT = frozenset(
    {
        "CreateAuthorizer",
        "CreateDomainConfiguration",
        "CreateDynamicThingGroup",
        "CreateJob",
        "DeleteDynamicThingGroup",
        "StartOnDemandAuditTask",
        "TestInvokeAuthorizer",
        "UpdateDynamicThingGroup",
    }
)

_HEAD = """# Operations

Written by `make parity` from the operations, the notes in `operations.toml`, and the tests that called them on a
running service with AWS's SDK for Python and were answered with 200. Do not edit it: a test compares.
"""
_TAIL = """
All other operations of the model are authenticated and answer `UnknownOperationException` (400): `… is not implemented
by Thingmint`. SearchIndex and the operations of dynamic thing groups and of jobs are among them.

Accounts are made by making an access key for them: `thingmint access-key create --account 222222222222 --policy FILE`.
Each has a registry of its own; certificates go from one to another by transfer.

Without a signature, for those who watch the service:

| page | 200 means | for |
|---|---|---|
| `GET /healthz` | the process answers | restarting it |
| `GET /readyz` | the database can be written to, the clock is right | sending it callers of the API (port of `api`) |
| `GET /readyz/devices` | the device port accepts connections | sending it devices (ports of `mqtt` and `mqtt_alpn`) |
| `GET /metrics` | – | Prometheus |

Both checks of readiness answer within a second however many ask and whatever the database does: one check of the
database is under way at a time, success is believed for a second, and a check that takes longer counts as a failure.
Do not use `/readyz` for the device ports: while the database is away, connected devices stay connected and exchange
messages, and only new ones are refused.
"""


def operations() -> frozenset[str]:
    """Return the names of all operations that do something."""
    return frozenset(each.name for each in implemented_operations(new_authority(), "devices.example"))


def proofs() -> dict[str, str]:
    """Return the test that proves each operation."""
    loaded: dict[str, str] = json.loads(PROOFS.read_text())
    return loaded


def notes() -> dict[str, str]:
    """Return the notes."""
    return tomllib.loads(NOTES.read_text())


def page(present: frozenset[str], proved: Mapping[str, str], noted: Mapping[str, str]) -> str:
    """Return the page's text."""
    return _HEAD + "\n" + "\n".join(_rows(present, proved, noted)) + "\n" + _TAIL


def _rows(present: frozenset[str], proved: Mapping[str, str], noted: Mapping[str, str]) -> Iterator[str]:
    yield "| operation | Thingmint | notes | shown by |"
    yield "|---|---|---|---|"
    for name in sorted(present | set(COMPARED)):
        answers = "yes" if name in present and name in proved else "—"
        proof = f"`{proved[name]}`" if answers == "yes" else ""
        yield f"| {name} | {answers} | {noted.get(name, '')} | {proof} |"
    count = sum(name in present and name in proved for name in COMPARED)
    yield f"\n{count} of the {len(COMPARED)} operations with which identities, policies and things are managed."


def chosen(record: Mapping[str, Sequence[str]], before: Mapping[str, str]) -> dict[str, str]:
    """Return one test for each operation: the one that proved it before if it still does, else the first by name."""
    return {
        name: before[name] if before.get(name) in tests else min(tests)
        for name, tests in sorted(record.items())
        if tests
    }


def main(path: str) -> None:
    """Take the proofs of a recorded run, write the page and print it."""
    present = operations()
    before = proofs() if PROOFS.exists() else {}
    found = {name: test for name, test in chosen(json.loads(Path(path).read_text()), before).items() if name in present}
    PROOFS.write_text(json.dumps(found, indent=2) + "\n")
    text = page(present, found, notes())
    PAGE.write_text(text)
    print(text)


if __name__ == "__main__":
    main(sys.argv[1])
