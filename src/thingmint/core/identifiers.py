"""Owns the identifiers of accounts, regions, certificates and everything in the registry, and their ARNs.

Checks the form of names, not whether a resource with the name exists.
"""

import hashlib
import re
from dataclasses import dataclass
from typing import NewType, TypeAlias

from thingmint.core.errors import InvalidRequest

AccountId = NewType("AccountId", str)
Region = NewType("Region", str)
CertificateId = NewType("CertificateId", str)
AccessKeyPrincipalId = NewType("AccessKeyPrincipalId", str)
PrincipalId: TypeAlias = CertificateId | AccessKeyPrincipalId
"""The id of what a device connects with: its certificate, or an access key with its user, see `core.principals`."""
SerialNumber = NewType("SerialNumber", int)
ThingName = NewType("ThingName", str)
ThingTypeName = NewType("ThingTypeName", str)
ThingGroupName = NewType("ThingGroupName", str)
BillingGroupName = NewType("BillingGroupName", str)
PolicyName = NewType("PolicyName", str)
TemplateName = NewType("TemplateName", str)
RoleAliasName = NewType("RoleAliasName", str)
CertificateProviderName = NewType("CertificateProviderName", str)

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_ACCOUNT_LABEL = re.compile(r"([0-9]{12})\..+", re.ASCII)
REGION_PATTERN = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
REGION_FORM = "formed like us-east-1"
# By the beginning of its regions, from botocore's list of partitions. All other regions are in the partition aws.
_PARTITIONS = {
    "cn-": "aws-cn",
    "eusc-": "aws-eusc",
    "us-gov-": "aws-us-gov",
    "us-iso-": "aws-iso",
    "us-isob-": "aws-iso-b",
    "eu-isoe-": "aws-iso-e",
    "us-isof-": "aws-iso-f",
}
_CERTIFICATE_ID = re.compile(r"(0x)?[a-fA-F0-9]+")
_CERTIFICATE_ID_LENGTH = 64

# Patterns and lengths are the service model's. Its \w is Java's, which matches ASCII only.
_REGISTRY_NAME = re.compile(r"[a-zA-Z0-9:_-]{1,128}")
_POLICY_NAME = re.compile(r"[a-zA-Z0-9_+=,.@-]{1,128}")
_ALIAS_NAME = re.compile(r"[a-zA-Z0-9_=,@-]{1,128}")
_TEMPLATE_NAME = re.compile(r"[0-9A-Za-z_-]{1,36}")


@dataclass(frozen=True, slots=True)
class Scope:
    """An account and a region. Every resource of the registry belongs to one scope."""

    account: AccountId
    region: Region


def parse_account_id(text: str) -> AccountId:
    """Return the account id; raise InvalidRequest unless it is twelve digits."""
    if not _ACCOUNT_ID.fullmatch(text):
        raise InvalidRequest(f"an account id is twelve digits, not {text!r}")
    return AccountId(text)


def named_account(host_name: str) -> AccountId | None:
    """Return the account id at the start of a host name such as 111122223333.iot.example; None if there is none."""
    named = _ACCOUNT_LABEL.fullmatch(host_name)
    return AccountId(named[1]) if named else None


def parse_region(text: str) -> Region:
    """Return the region; raise InvalidRequest unless it has the form of us-east-1."""
    if not REGION_PATTERN.fullmatch(text):
        raise InvalidRequest(f"a region is {REGION_FORM}, not {text!r}")
    return Region(text)


def parse_certificate_id(text: str) -> CertificateId:
    """Return the id in lower case; raise InvalidRequest unless it has 64 characters of AWS's pattern."""
    if len(text) != _CERTIFICATE_ID_LENGTH or not _CERTIFICATE_ID.fullmatch(text):
        raise InvalidRequest(f"a certificate id is {_CERTIFICATE_ID_LENGTH} hexadecimal digits, not {text!r}")
    return CertificateId(text.lower())


def parse_thing_name(text: str) -> ThingName:
    """Return the name; raise InvalidRequest unless it is valid for a thing."""
    return ThingName(_named("a thing", _REGISTRY_NAME, text))


def is_thing_name(text: str) -> bool:
    """Return whether the name is valid for a thing."""
    return _REGISTRY_NAME.fullmatch(text) is not None


def parse_thing_type_name(text: str) -> ThingTypeName:
    """Return the name; raise InvalidRequest unless it is valid for a thing type."""
    return ThingTypeName(_named("a thing type", _REGISTRY_NAME, text))


def parse_thing_group_name(text: str) -> ThingGroupName:
    """Return the name; raise InvalidRequest unless it is valid for a thing group."""
    return ThingGroupName(_named("a thing group", _REGISTRY_NAME, text))


def parse_billing_group_name(text: str) -> BillingGroupName:
    """Return the name; raise InvalidRequest unless it is valid for a billing group."""
    return BillingGroupName(_named("a billing group", _REGISTRY_NAME, text))


def parse_policy_name(text: str) -> PolicyName:
    """Return the name; raise InvalidRequest unless it is valid for a policy."""
    return PolicyName(_named("a policy", _POLICY_NAME, text))


def parse_template_name(text: str) -> TemplateName:
    """Return the name; raise InvalidRequest unless it is valid for a provisioning template."""
    return TemplateName(_named("a provisioning template", _TEMPLATE_NAME, text))


def parse_role_alias_name(text: str) -> RoleAliasName:
    """Return the name; raise InvalidRequest unless it is valid for a role alias."""
    return RoleAliasName(_named("a role alias", _ALIAS_NAME, text))


def parse_certificate_provider_name(text: str) -> CertificateProviderName:
    """Return the name; raise InvalidRequest unless it is valid for a certificate provider."""
    return CertificateProviderName(_named("a certificate provider", _ALIAS_NAME, text))


def _named(what: str, pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise InvalidRequest(f"the name of {what} matches {pattern.pattern}; {text!r} does not")
    return text


def certificate_id_of(der: bytes) -> CertificateId:
    """Return the id that AWS IoT gives to a certificate: the SHA-256 of its DER, in lower-case hexadecimal."""
    return CertificateId(hashlib.sha256(der).hexdigest())


def partition_of(region: str) -> str:
    """Return the first part of the region's ARNs, such as aws or aws-cn."""
    found = (partition for beginning, partition in _PARTITIONS.items() if region.startswith(beginning))
    return next(found, "aws")


def iot_arn(scope: Scope, resource: str) -> str:
    """Return the ARN of an AWS IoT resource such as ``cert/…`` in this scope."""
    return f"arn:{partition_of(scope.region)}:iot:{scope.region}:{scope.account}:{resource}"


def certificate_arn(scope: Scope, certificate_id: CertificateId) -> str:
    """Return the ARN of a certificate."""
    return iot_arn(scope, f"cert/{certificate_id}")


def ca_certificate_arn(scope: Scope, certificate_id: CertificateId) -> str:
    """Return the ARN of a registered CA certificate."""
    return iot_arn(scope, f"cacert/{certificate_id}")


def thing_arn(scope: Scope, name: ThingName) -> str:
    """Return the ARN of a thing."""
    return iot_arn(scope, f"thing/{name}")


def thing_type_arn(scope: Scope, name: ThingTypeName) -> str:
    """Return the ARN of a thing type."""
    return iot_arn(scope, f"thingtype/{name}")


def thing_group_arn(scope: Scope, name: ThingGroupName) -> str:
    """Return the ARN of a thing group."""
    return iot_arn(scope, f"thinggroup/{name}")


def billing_group_arn(scope: Scope, name: BillingGroupName) -> str:
    """Return the ARN of a billing group."""
    return iot_arn(scope, f"billinggroup/{name}")


def policy_arn(scope: Scope, name: PolicyName) -> str:
    """Return the ARN of an AWS IoT policy."""
    return iot_arn(scope, f"policy/{name}")


def provisioning_template_arn(scope: Scope, name: TemplateName) -> str:
    """Return the ARN of a provisioning template."""
    return iot_arn(scope, f"provisioningtemplate/{name}")


def role_alias_arn(scope: Scope, name: RoleAliasName) -> str:
    """Return the ARN of a role alias."""
    return iot_arn(scope, f"rolealias/{name}")


def certificate_provider_arn(scope: Scope, name: CertificateProviderName) -> str:
    """Return the ARN of a certificate provider."""
    return iot_arn(scope, f"certificateprovider/{name}")


def client_arn(scope: Scope, client_id: str) -> str:
    """Return the ARN of an MQTT client, the resource of iot:Connect."""
    return iot_arn(scope, f"client/{client_id}")


def topic_arn(scope: Scope, topic: str) -> str:
    """Return the ARN of a topic, the resource of iot:Publish and iot:Receive."""
    return iot_arn(scope, f"topic/{topic}")


def topic_filter_arn(scope: Scope, topic_filter: str) -> str:
    """Return the ARN of a topic filter, the resource of iot:Subscribe."""
    return iot_arn(scope, f"topicfilter/{topic_filter}")


def user_arn(scope: Scope, user_name: str) -> str:
    """Return the IAM ARN of the user that an access key belongs to; IAM's ARNs have no region."""
    return f"arn:{partition_of(scope.region)}:iam::{scope.account}:user/{user_name}"


def account_arn(scope: Scope, account: AccountId) -> str:
    """Return the ARN of an account as a resource of this service. The scope is the service's own account and region."""
    return f"arn:{partition_of(scope.region)}:thingmint:{scope.region}:{scope.account}:account/{account}"
