"""Owns what a transaction does with provisioning templates and their versions; knows no SQL."""

from collections.abc import Sequence
from typing import Protocol

from thingmint.core.identifiers import Scope, TemplateName
from thingmint.core.provisioning.stored_template import (
    ProvisioningTemplate,
    TemplateEntry,
    TemplateVersion,
    TemplateVersionEntry,
)
from thingmint.records.paging import PageRequest
from thingmint.records.steps import Steps


class ProvisioningTemplateVerbs(Protocol):
    """Reads see the transaction's own writes."""

    def provisioning_template(self, scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
        """Return the template, or None."""
        ...

    def provisioning_template_for_update(self, scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
        """Return the template and keep others from changing it until this transaction ends."""
        ...

    def provisioning_template_kept(self, scope: Scope, name: TemplateName) -> Steps[ProvisioningTemplate | None]:
        """Return the template and keep it from being deleted until this transaction ends."""
        ...

    def provisioning_templates(self, scope: Scope, page: PageRequest) -> Steps[Sequence[TemplateEntry]]:
        """Return up to ``page.size`` templates in the order of their creation."""
        ...

    def insert_provisioning_template(self, template: ProvisioningTemplate, limit: int) -> Steps[None]:
        """Store a new template; raise ResourceExists if its name is taken, LimitExceeded if the scope has ``limit``."""
        ...

    def update_provisioning_template(self, template: ProvisioningTemplate) -> Steps[None]:
        """Store what may change of the template."""
        ...

    def delete_provisioning_template(self, template: ProvisioningTemplate) -> Steps[None]:
        """Delete the template with all its versions and claims."""
        ...

    def template_version(self, template: ProvisioningTemplate, version: int) -> Steps[TemplateVersion | None]:
        """Return the version, or None."""
        ...

    def template_versions(
        self, template: ProvisioningTemplate, page: PageRequest
    ) -> Steps[Sequence[TemplateVersionEntry]]:
        """Return up to ``page.size`` versions in the order of their creation."""
        ...

    def template_version_count(self, template: ProvisioningTemplate) -> Steps[int]:
        """Return how many versions the template has; they are few."""
        ...

    def insert_template_version(self, template: ProvisioningTemplate, version: TemplateVersion) -> Steps[None]:
        """Store a new version of the template."""
        ...

    def delete_template_version(self, template: ProvisioningTemplate, version: int) -> Steps[bool]:
        """Delete the version; say whether it existed."""
        ...
