"""Owns the calls of pre-provisioning hooks: each Lambda ARN stands for an HTTPS webhook or a Python callable.

Templates name hooks by ARN, as at AWS. The operator's settings map each ARN to a target. Therefore a caller that may
create templates cannot choose the address that the service calls, or the code that it runs.
"""

from thingmint.hooks.client import Hooks
from thingmint.hooks.logged import LoggedHooks
from thingmint.hooks.signature import MIN_SECRET_BYTES, QuestionSigner
from thingmint.hooks.target import HookTarget, HookTargetRefused, hook_targets

__all__ = [
    "MIN_SECRET_BYTES",
    "HookTarget",
    "HookTargetRefused",
    "Hooks",
    "LoggedHooks",
    "QuestionSigner",
    "hook_targets",
]
