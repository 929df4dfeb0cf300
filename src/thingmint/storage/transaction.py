"""Owns the transaction: the verbs of every table, one text for both engines; runs nothing itself."""

from dataclasses import dataclass

from thingmint.registration.steps import Steps
from thingmint.storage.dialect import Dialect
from thingmint.storage.statement import rows_of
from thingmint.storage.tables.access_keys import AccessKeyTable
from thingmint.storage.tables.attachments import AttachmentTables
from thingmint.storage.tables.audit import AuditTable
from thingmint.storage.tables.billing_groups import BillingGroupTable
from thingmint.storage.tables.ca_certificates import CACertificateTable
from thingmint.storage.tables.certificate_providers import CertificateProviderTable
from thingmint.storage.tables.certificates import CertificateTable
from thingmint.storage.tables.changes import ChangeTable
from thingmint.storage.tables.claims import ClaimTable
from thingmint.storage.tables.event_configurations import EventConfigurationTable
from thingmint.storage.tables.policies import PolicyTable
from thingmint.storage.tables.policy_attachments import PolicyAttachmentTable
from thingmint.storage.tables.provisioning_templates import ProvisioningTemplateTable
from thingmint.storage.tables.registration_tasks import RegistrationTaskTable
from thingmint.storage.tables.role_aliases import RoleAliasTable
from thingmint.storage.tables.signed_certificates import SignedCertificateTable
from thingmint.storage.tables.tags import TagTable
from thingmint.storage.tables.thing_groups import ThingGroupTable
from thingmint.storage.tables.thing_principals import ThingPrincipalTable
from thingmint.storage.tables.thing_types import ThingTypeTable
from thingmint.storage.tables.things import ThingTable
from thingmint.storage.tables.transfers import TransferTable

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
    """Implements `registration.ports.Transaction` for one dialect; has no state, so one object serves everybody."""

    dialect: Dialect


def check_write() -> Steps[None]:
    """Change one row, so that a commit proves that the database can be written to."""
    yield from rows_of(CHECK_WRITE)
