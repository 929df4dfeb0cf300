"""Owns the identifiers of accounts, regions and certificates, and the ARNs that name them to the outside."""

import hashlib
import re
from dataclasses import dataclass
from typing import NewType

from thingmint.core.errors import InvalidRequest

AccountId = NewType("AccountId", str)
Region = NewType("Region", str)
CertificateId = NewType("CertificateId", str)
SerialNumber = NewType("SerialNumber", int)

_ACCOUNT_ID = re.compile(r"[0-9]{12}")
_REGION = re.compile(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}")
_CERTIFICATE_ID = re.compile(r"(0x)?[a-fA-F0-9]+")
_CERTIFICATE_ID_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Scope:
    """The account and region that everything in the registry belongs to."""

    account: AccountId
    region: Region


def parse_account_id(text: str) -> AccountId:
    """Return the account id; raise InvalidRequest unless it is twelve digits."""
    if not _ACCOUNT_ID.fullmatch(text):
        raise InvalidRequest(f"an account id is twelve digits, not {text!r}")
    return AccountId(text)


def parse_region(text: str) -> Region:
    """Return the region; raise InvalidRequest unless it is formed like us-east-1."""
    if not _REGION.fullmatch(text):
        raise InvalidRequest(f"a region is formed like us-east-1, not {text!r}")
    return Region(text)


def parse_certificate_id(text: str) -> CertificateId:
    """Return the id in lower case; raise InvalidRequest unless it has 64 characters of AWS's pattern."""
    if len(text) != _CERTIFICATE_ID_LENGTH or not _CERTIFICATE_ID.fullmatch(text):
        raise InvalidRequest(f"a certificate id is {_CERTIFICATE_ID_LENGTH} hexadecimal digits, not {text!r}")
    return CertificateId(text.lower())


def certificate_id_of(der: bytes) -> CertificateId:
    """Return the id that AWS IoT gives to a certificate: the SHA-256 of its DER, in lower-case hexadecimal."""
    return CertificateId(hashlib.sha256(der).hexdigest())


def partition_of(region: str) -> str:
    """Return the first part of the region's ARNs: aws, aws-cn or aws-us-gov."""
    if region.startswith("cn-"):
        return "aws-cn"
    if region.startswith("us-gov-"):
        return "aws-us-gov"
    return "aws"


def iot_arn(scope: Scope, resource: str) -> str:
    """Return the ARN of an AWS IoT resource such as ``cert/…`` in this scope."""
    return f"arn:{partition_of(scope.region)}:iot:{scope.region}:{scope.account}:{resource}"


def certificate_arn(scope: Scope, certificate_id: CertificateId) -> str:
    """Return the ARN of a certificate."""
    return iot_arn(scope, f"cert/{certificate_id}")


def user_arn(scope: Scope, user_name: str) -> str:
    """Return the IAM ARN of the user that an access key belongs to; IAM's ARNs carry no region."""
    return f"arn:{partition_of(scope.region)}:iam::{scope.account}:user/{user_name}"
