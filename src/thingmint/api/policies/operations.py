"""Owns the table of operations on policies, their attachments and their simulation."""

from thingmint.api.policies import authorization, effective_policies, policies, policy_attachments
from thingmint.api.policies.policy_targets import principal_in_body, principal_in_header, target_in_body
from thingmint.api.wire.operation import Implemented, operation
from thingmint.api.wire.resources import in_path
from thingmint.registration.kernel.authority import RegistrationAuthority

_POLICY = in_path("policy", "policyName")

OPERATIONS: tuple[Implemented[RegistrationAuthority], ...] = (
    operation(policies.create_policy, _POLICY),
    operation(policies.get_policy, _POLICY),
    operation(policies.list_policies),
    operation(policies.delete_policy, _POLICY),
    operation(policies.create_policy_version, _POLICY),
    operation(policies.get_policy_version, _POLICY),
    operation(policies.list_policy_versions, _POLICY),
    operation(policies.delete_policy_version, _POLICY),
    operation(policies.set_default_policy_version, _POLICY),
    operation(policy_attachments.attach_policy, target_in_body),
    operation(policy_attachments.detach_policy, target_in_body),
    operation(policy_attachments.list_attached_policies),
    operation(policy_attachments.list_targets_for_policy, _POLICY),
    operation(policy_attachments.attach_principal_policy, principal_in_header),
    operation(policy_attachments.detach_principal_policy, principal_in_header),
    operation(policy_attachments.list_principal_policies),
    operation(policy_attachments.list_policy_principals),
    operation(effective_policies.get_effective_policies, principal_in_body),
    operation(authorization.test_authorization, principal_in_body),
)
