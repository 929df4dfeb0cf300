"""Owns the provisioning template of the registry, its versions, its hook and its changes. Does not parse its body."""

import re
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from thingmint.core.errors import DeletionRefused, InvalidRequest, ResourceNotFound, VersionsLimitExceeded
from thingmint.core.hooks import is_function_arn
from thingmint.core.identifiers import Scope, TemplateName, provisioning_template_arn

# AWS IoT's quotas.
MAX_TEMPLATES = 256
MAX_VERSIONS = 5
FIRST_VERSION = 1

# The only version of the hook's payload that AWS has published.
PAYLOAD_VERSION = "2020-04-01"
_ROLE_ARN = re.compile(r"arn:aws[a-z-]*:iam::[0-9]{12}:role/[\x21-\x7e]+")


class TemplateNotFound(ResourceNotFound):
    """The account has no provisioning template with this name, or the intended one was deleted."""


def is_role_arn(text: str) -> bool:
    """Return whether the text is the ARN of an IAM role."""
    return _ROLE_ARN.fullmatch(text) is not None


class TemplateType(StrEnum):
    """What a template provisions: devices with a claim, or devices whose own CA is registered."""

    FLEET_PROVISIONING = "FLEET_PROVISIONING"
    JITP = "JITP"


@dataclass(frozen=True, slots=True)
class PreProvisioningHook:
    """The function that the service calls before it provisions a device, named by the ARN of a Lambda function."""

    target_arn: str
    payload_version: str = PAYLOAD_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest for an unknown payload version or a target that is not the ARN of a function."""
        if self.payload_version != PAYLOAD_VERSION:
            raise InvalidRequest(f"The payloadVersion of a hook is {PAYLOAD_VERSION}, not {self.payload_version}")
        if not is_function_arn(self.target_arn):
            raise InvalidRequest("The targetArn of a hook is not the ARN of a Lambda function")


@dataclass(frozen=True, slots=True)
class TemplateVersion:
    """One body of a template. Its number is never reused."""

    version: int
    body: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class TemplateVersionEntry:
    """A version in a list. ``position`` orders the list and is unique."""

    version: int
    created_at: datetime
    position: int


@dataclass(frozen=True, slots=True)
class ProvisioningTemplate:
    """A provisioning template in the registry. Name and type never change; ``last_version`` only grows.

    ``generation_id`` is its identity. A template that was deleted and created again has another one.
    """

    scope: Scope
    name: TemplateName
    generation_id: str
    type: TemplateType
    description: str | None
    enabled: bool
    role_arn: str
    hook: PreProvisioningHook | None
    created_at: datetime
    modified_at: datetime
    default_version: int = FIRST_VERSION
    last_version: int = FIRST_VERSION

    def __post_init__(self) -> None:
        """Raise InvalidRequest if the role is not an ARN of a role, or the template's type has no hooks."""
        if not is_role_arn(self.role_arn):
            raise InvalidRequest("provisioningRoleArn is not the ARN of an IAM role")
        if self.hook is not None and self.type is not TemplateType.FLEET_PROVISIONING:
            raise InvalidRequest(f"A template of type {self.type} has no pre-provisioning hook")

    @property
    def arn(self) -> str:
        """The template's ARN."""
        return provisioning_template_arn(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class TemplateEntry:
    """A template in a list. ``position`` orders the list by creation and is unique."""

    scope: Scope
    name: TemplateName
    type: TemplateType
    description: str | None
    enabled: bool
    created_at: datetime
    modified_at: datetime
    position: int

    @property
    def arn(self) -> str:
        """The template's ARN."""
        return provisioning_template_arn(self.scope, self.name)


@dataclass(frozen=True, slots=True)
class TemplateUpdate:
    """The changes that UpdateProvisioningTemplate requests. Values that are left out do not change."""

    description: str | None = None
    enabled: bool | None = None
    default_version: int | None = None
    role_arn: str | None = None
    hook: PreProvisioningHook | None = None
    remove_hook: bool = False

    def __post_init__(self) -> None:
        """Raise InvalidRequest if the update both sets and removes the hook."""
        if self.remove_hook and self.hook is not None:
            raise InvalidRequest("preProvisioningHook and removePreProvisioningHook exclude each other")


def updated_template(template: ProvisioningTemplate, update: TemplateUpdate, at: datetime) -> ProvisioningTemplate:
    """Return the template after the update; raise InvalidRequest for values that it cannot have."""
    return replace(
        template,
        description=template.description if update.description is None else update.description,
        enabled=template.enabled if update.enabled is None else update.enabled,
        default_version=template.default_version if update.default_version is None else update.default_version,
        role_arn=update.role_arn or template.role_arn,
        hook=None if update.remove_hook else update.hook or template.hook,
        modified_at=at,
    )


def with_next_version(
    template: ProvisioningTemplate, version_count: int, at: datetime, *, as_default: bool
) -> ProvisioningTemplate:
    """Return the template with one more version; raise VersionsLimitExceeded if it has the maximum already."""
    if version_count >= MAX_VERSIONS:
        raise VersionsLimitExceeded(f"The provisioning template {template.name} already has {MAX_VERSIONS} versions")
    version = template.last_version + 1
    return replace(
        template,
        last_version=version,
        default_version=version if as_default else template.default_version,
        modified_at=at,
    )


def ensure_usable(template: ProvisioningTemplate, kind: TemplateType) -> None:
    """Raise InvalidRequest if the template is disabled or is for devices of another kind."""
    if template.type is not kind:
        raise InvalidRequest(f"The provisioning template {template.name} is of type {template.type}")
    if not template.enabled:
        raise InvalidRequest(f"The provisioning template {template.name} is not enabled")


def ensure_version_deletable(template: ProvisioningTemplate, version: int) -> None:
    """Raise DeletionRefused for the default version."""
    if version == template.default_version:
        raise DeletionRefused(f"The default version {version} of a provisioning template cannot be deleted")
