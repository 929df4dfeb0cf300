"""Owns how pre-provisioning hooks are reached: an HTTPS webhook or a Python callable behind each Lambda function's ARN.

Templates name hooks by ARN, as AWS's clients do; the operator's settings say what stands behind one. Whoever may create
templates can thus neither make the service call an address nor run code of his choice.
"""

from thingmint.hooks.client import Hooks
from thingmint.hooks.logged import LoggedHooks
from thingmint.hooks.target import HookTarget, HookTargetRefused, hook_targets

__all__ = ["HookTarget", "HookTargetRefused", "Hooks", "LoggedHooks", "hook_targets"]
