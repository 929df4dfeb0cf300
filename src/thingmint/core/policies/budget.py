"""Owns the limits on the work of policies: for one connection of a device, and for one test of policies.

The weight of a policy is the number of characters in its patterns of resources and its values of conditions. A pattern
or value counts at least 32 characters, a variable 64 and a ``*`` 8, because matching each takes as long. AWS documents
no such limits. Without them one large request or set of policies would delay all other callers.
"""

from collections.abc import Iterable
from typing import Final

from thingmint.core.errors import LimitExceeded
from thingmint.core.policies.language import Policy

# About 30 policies of the largest legal size, or hundreds of usual ones.
MAX_WEIGHT_IN_FORCE: Final = 65_536
# Each resource is matched against every pattern. A long resource costs more than a short one.
MAX_WEIGHT_OF_TEST: Final = 10_000_000
_CHARACTERS_AT_ONCE: Final = 1024


def ensure_weight_in_force(policies: Iterable[Policy]) -> None:
    """Raise LimitExceeded if the policies in force for one device are together too large."""
    weight = sum(policy.weight for policy in policies)
    if weight > MAX_WEIGHT_IN_FORCE:
        raise LimitExceeded(
            f"The policies in force for the device are too large together: their patterns and values have a weight of "
            f"{weight}, and {MAX_WEIGHT_IN_FORCE} is the maximum"
        )


def ensure_weight_of_test(policies: Iterable[Policy], resources: Iterable[str]) -> None:
    """Raise LimitExceeded if matching the resources against the policies takes too much work."""
    weight = max(1, sum(policy.weight for policy in policies))
    work = weight * sum(1 + len(resource) // _CHARACTERS_AT_ONCE for resource in resources)
    if work > MAX_WEIGHT_OF_TEST:
        raise LimitExceeded(
            "The test has too many resources for policies of this size. Send fewer resources in a request"
        )
