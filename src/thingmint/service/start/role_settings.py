"""Owns the reading of the table ``[roles]``: policies of roles, written there or in files beside it."""

from collections.abc import Mapping
from pathlib import Path

from thingmint.core.error_text import reason_of
from thingmint.core.errors import MalformedPolicy
from thingmint.core.policies.language import Policy, parse_policy
from thingmint.core.policies.role_policies import ANY_ROLE, RolePolicies
from thingmint.core.provisioning.stored_template import is_role_arn
from thingmint.host.given_files import read_given_text
from thingmint.settings.config import StartRefused


def read_role_policies(roles: Mapping[str, str], data_dir: Path) -> RolePolicies:
    """Return the policies of the table; raise StartRefused naming the first role whose policy cannot be used.

    A value that begins with a brace is a policy. Any other value is the path of a file with a policy, relative to the
    data directory.
    """
    return RolePolicies({arn: _policy(arn, value, data_dir) for arn, value in roles.items()})


def _policy(arn: str, value: str, data_dir: Path) -> Policy:
    if arn != ANY_ROLE and not is_role_arn(arn):
        raise StartRefused(f"roles.{arn}: the name is neither the ARN of an IAM role nor {ANY_ROLE}")
    try:
        text = value if value.lstrip().startswith("{") else read_given_text(data_dir / value)
        return parse_policy(text)
    except (OSError, UnicodeDecodeError) as error:
        raise StartRefused(f"roles.{arn}: {data_dir / value} cannot be read: {reason_of(error)}") from error
    except MalformedPolicy as error:
        raise StartRefused(f"roles.{arn}: {error.message}") from error
