"""Owns the table of operations on provisioning templates, on their claims, and on the registration of things."""

from thingmint.api.provisioning import provisioning_templates, register_thing, registration_tasks, template_versions
from thingmint.api.wire.operation import Implemented, operation
from thingmint.api.wire.permissions import passes_role
from thingmint.api.wire.resources import in_body, in_path
from thingmint.registration.kernel.authority import RegistrationAuthority

_TEMPLATE = in_path("provisioningtemplate", "templateName")
_NEW_TEMPLATE = in_body("provisioningtemplate", "templateName")
_PASSES_ROLE = passes_role("provisioningRoleArn")

OPERATIONS: tuple[Implemented[RegistrationAuthority], ...] = (
    operation(provisioning_templates.create_provisioning_template, _NEW_TEMPLATE, further=_PASSES_ROLE),
    operation(provisioning_templates.describe_provisioning_template, _TEMPLATE),
    operation(provisioning_templates.list_provisioning_templates),
    operation(provisioning_templates.update_provisioning_template, _TEMPLATE, further=_PASSES_ROLE),
    operation(provisioning_templates.delete_provisioning_template, _TEMPLATE),
    operation(template_versions.create_provisioning_template_version, _TEMPLATE),
    operation(template_versions.describe_provisioning_template_version, _TEMPLATE),
    operation(template_versions.list_provisioning_template_versions, _TEMPLATE),
    operation(template_versions.delete_provisioning_template_version, _TEMPLATE),
    operation(template_versions.create_provisioning_claim, _TEMPLATE),
    operation(register_thing.register_thing, further=register_thing.registration_steps),
    operation(registration_tasks.start_thing_registration_task, further=passes_role("roleArn")),
    operation(registration_tasks.stop_thing_registration_task),
    operation(registration_tasks.describe_thing_registration_task),
    operation(registration_tasks.list_thing_registration_tasks),
    operation(registration_tasks.list_thing_registration_task_reports),
)
