"""Owns the whole of the API: every operation that AWS IoT has, behind one router."""

from collections.abc import Callable
from typing import TypeAlias

from thingmint.api.certificates.ca_certificates import ca_certificate_operations
from thingmint.api.certificates.certificate_providers import certificate_provider_operations
from thingmint.api.certificates.certificates import certificate_operations
from thingmint.api.certificates.registered_certificates import registered_certificate_operations
from thingmint.api.certificates.registration_codes import registration_code_operations
from thingmint.api.certificates.transfers import transfer_operations
from thingmint.api.devices.data_plane import DataPlane
from thingmint.api.devices.device_connections import device_connection_operations
from thingmint.api.devices.device_messages import device_message_operations
from thingmint.api.devices.endpoint import endpoint_operations
from thingmint.api.policies.authorization import authorization_operations
from thingmint.api.policies.effective_policies import effective_policy_operations
from thingmint.api.policies.policies import policy_operations
from thingmint.api.policies.policy_attachments import policy_attachment_operations
from thingmint.api.provisioning.provisioning_templates import provisioning_template_operations
from thingmint.api.provisioning.register_thing import register_thing_operations
from thingmint.api.provisioning.registration_tasks import registration_task_operations
from thingmint.api.provisioning.template_versions import template_version_operations
from thingmint.api.registry.billing_groups import billing_group_operations
from thingmint.api.registry.billing_members import billing_member_operations
from thingmint.api.registry.event_configurations import event_configuration_operations
from thingmint.api.registry.role_aliases import role_alias_operations
from thingmint.api.registry.tags import tag_operations
from thingmint.api.registry.thing_group_members import thing_group_member_operations
from thingmint.api.registry.thing_groups import thing_group_operations
from thingmint.api.registry.thing_principals import thing_principal_operations
from thingmint.api.registry.thing_types import thing_type_operations
from thingmint.api.registry.things import thing_operations
from thingmint.api.wire.operation import Operation, unimplemented
from thingmint.api.wire.planes import DATA_ROUTES
from thingmint.api.wire.routes import ROUTES
from thingmint.api.wire.routing import Router
from thingmint.core.identifiers import AccountId
from thingmint.registration.kernel.authority import RegistrationAuthority

_ROUTES = {**ROUTES, **DATA_ROUTES}


Endpoint: TypeAlias = str | Callable[[AccountId], str]
"""One address for all accounts, or that of each."""


def implemented_operations(authority: RegistrationAuthority, endpoint: Endpoint) -> tuple[Operation, ...]:
    """Return the operations that do something."""
    address_of = endpoint if callable(endpoint) else lambda account: endpoint
    return (
        *certificate_operations(authority),
        *registration_code_operations(authority),
        *ca_certificate_operations(authority),
        *registered_certificate_operations(authority),
        *transfer_operations(authority),
        *policy_operations(authority),
        *policy_attachment_operations(authority),
        *effective_policy_operations(authority),
        *authorization_operations(authority),
        *endpoint_operations(address_of),
        *provisioning_template_operations(authority),
        *template_version_operations(authority),
        *register_thing_operations(authority),
        *registration_task_operations(authority),
        *certificate_provider_operations(authority),
        *event_configuration_operations(authority),
        *role_alias_operations(authority),
        *tag_operations(authority),
        *thing_operations(authority),
        *thing_type_operations(authority),
        *thing_group_operations(authority),
        *thing_group_member_operations(authority),
        *thing_principal_operations(authority),
        *billing_group_operations(authority),
        *billing_member_operations(authority),
    )


def implemented_data_operations(data_plane: DataPlane) -> tuple[Operation, ...]:
    """Return the operations of the data plane that do something."""
    return (*device_message_operations(data_plane), *device_connection_operations(data_plane))


def build_router(authority: RegistrationAuthority, endpoint: Endpoint, data_plane: DataPlane) -> Router:
    """Return the router to every operation, compiled; the endpoint is what DescribeEndpoint answers.

    Both planes have one router: no two operations of theirs have the same method and path.
    """
    present = (*implemented_operations(authority, endpoint), *implemented_data_operations(data_plane))
    absent = _ROUTES.keys() - {operation.name for operation in present}
    return Router((*present, *(unimplemented(name, _ROUTES[name]) for name in sorted(absent))))


def is_operation(name: str) -> bool:
    """Say whether an operation of AWS IoT has this name, implemented or not."""
    return name in _ROUTES
