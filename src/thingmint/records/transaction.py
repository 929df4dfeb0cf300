"""Owns the transaction: the verbs of every table, one text for both engines; runs nothing itself."""

from dataclasses import dataclass

from thingmint.records.access.access_keys import AccessKeyTable
from thingmint.records.audit import AuditTable
from thingmint.records.certificates.ca_certificates import CACertificateTable
from thingmint.records.certificates.certificate_providers import CertificateProviderTable
from thingmint.records.certificates.certificates import CertificateTable
from thingmint.records.certificates.signed_certificates import SignedCertificateTable
from thingmint.records.certificates.transfers import TransferTable
from thingmint.records.changes import ChangeTable
from thingmint.records.dialect import Dialect
from thingmint.records.policies.policies import PolicyTable
from thingmint.records.policies.policy_attachments import PolicyAttachmentTable
from thingmint.records.provisioning.claims import ClaimTable
from thingmint.records.provisioning.provisioning_templates import ProvisioningTemplateTable
from thingmint.records.provisioning.registration_tasks import RegistrationTaskTable
from thingmint.records.registry.attachments import AttachmentTables
from thingmint.records.registry.billing_groups import BillingGroupTable
from thingmint.records.registry.event_configurations import EventConfigurationTable
from thingmint.records.registry.role_aliases import RoleAliasTable
from thingmint.records.registry.tags import TagTable
from thingmint.records.registry.thing_groups import ThingGroupTable
from thingmint.records.registry.thing_principals import ThingPrincipalTable
from thingmint.records.registry.thing_types import ThingTypeTable
from thingmint.records.registry.things import ThingTable
from thingmint.records.statement import rows_of
from thingmint.records.steps import Steps

# The value changes each time, so that the commit has something to make durable.
CHECK_WRITE = (
    "INSERT INTO write_check (id, checks) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET checks = write_check.checks + 1"
)


@dataclass(frozen=True, slots=True)
class SqlTransaction(
    AccessKeyTable,
    AttachmentTables,
    AuditTable,
    BillingGroupTable,
    CACertificateTable,
    CertificateTable,
    ChangeTable,
    ClaimTable,
    PolicyAttachmentTable,
    PolicyTable,
    ProvisioningTemplateTable,
    RegistrationTaskTable,
    CertificateProviderTable,
    EventConfigurationTable,
    RoleAliasTable,
    SignedCertificateTable,
    TagTable,
    ThingGroupTable,
    ThingPrincipalTable,
    ThingTable,
    ThingTypeTable,
    TransferTable,
):
    """Implements `registration.kernel.ports.Transaction` for one dialect; one object serves everybody."""

    dialect: Dialect


def check_write() -> Steps[None]:
    """Change one row, so that a commit proves that the database can be written to."""
    yield from rows_of(CHECK_WRITE)
