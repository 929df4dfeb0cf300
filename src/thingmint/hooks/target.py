"""Owns the targets of hooks' ARNs in the settings: ``https://…``, or ``python:module:function``."""

import importlib
import ipaddress
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias
from urllib.parse import urlsplit

from thingmint.core.error_text import in_words
from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.stored_template import PreProvisioningHook
from thingmint.hooks.handler_signature import HandlerRefused
from thingmint.hooks.python_callable import python_hook
from thingmint.hooks.raised import exception_text
from thingmint.hooks.signature import QuestionSigner
from thingmint.hooks.trust import MachineTrust
from thingmint.hooks.webhook import Webhook

HookTarget: TypeAlias = Callable[[Mapping[str, object]], Awaitable[object]]
"""Takes the question and returns the answer, both as decoded JSON; raises HookFailed."""

ANY_ACCOUNT = "*"
"""Stands for the account in an ARN of the settings."""

_CALLABLE = re.compile(r"python:([A-Za-z_][\w.]*):([A-Za-z_]\w*)", re.ASCII)
_SOME_ACCOUNT = "0" * 12
_PORTS = {"https": 443, "http": 80}


class HookTargetRefused(ValueError):
    """The settings name a target for an ARN that cannot be called; the message says which one and why."""


def hook_targets(settings: Mapping[str, str], signer: QuestionSigner | None = None) -> dict[str, HookTarget]:
    """Return the target of each ARN; import Python modules.

    With a signer, requests to webhooks are signed. Raises HookTargetRefused for the first target that cannot be used.
    """
    trust = MachineTrust()
    return {arn: _target(arn, text, signer, trust) for arn, text in settings.items()}


def _target(arn: str, text: str, signer: QuestionSigner | None, trust: MachineTrust) -> HookTarget:
    try:
        PreProvisioningHook(arn.replace(f":{ANY_ACCOUNT}:", f":{_SOME_ACCOUNT}:", 1))
    except InvalidRequest as error:
        raise HookTargetRefused(f"hooks.{arn}: the name is not the ARN of a Lambda function") from error
    match = _CALLABLE.fullmatch(text)
    if match:
        try:
            return python_hook(_imported(arn, match[1], match[2]), arn)
        except HandlerRefused as error:
            raise HookTargetRefused(
                f"hooks.{arn}: {match[1]}:{match[2]} cannot be called: {in_words(error)}"
            ) from error
    return _webhook(arn, text, signer, trust)


def _imported(arn: str, module_name: str, name: str) -> Callable[..., object]:
    try:
        found = getattr(importlib.import_module(module_name), name, None)
    except (Exception, SystemExit) as error:
        raise HookTargetRefused(
            f"hooks.{arn}: {module_name} cannot be imported: {exception_text(error, {})}"
        ) from error
    if not callable(found):
        raise HookTargetRefused(f"hooks.{arn}: {module_name} has no callable {name}")
    return found  # type: ignore[no-any-return] # that it can be called is all there is to know of the operator's code


def _webhook(arn: str, text: str, signer: QuestionSigner | None, trust: MachineTrust) -> HookTarget:
    try:
        url = urlsplit(text)
        port = url.port
    except ValueError as error:
        raise HookTargetRefused(f"hooks.{arn}: the URL cannot be read") from error
    if url.scheme not in _PORTS or not url.hostname or url.username is not None or url.fragment:
        raise HookTargetRefused(f"hooks.{arn} must be https://host/path or python:module:function")
    if not (text.isascii() and text.isprintable()) or " " in text:
        raise HookTargetRefused(f"hooks.{arn}: the URL has characters that must be escaped")
    # Without TLS, others on the network could read and change devices' parameters and the decision.
    if url.scheme == "http" and not _is_loopback(url.hostname):
        raise HookTargetRefused(f"hooks.{arn}: http is allowed on loopback addresses only")
    if port == 0:
        raise HookTargetRefused(f"hooks.{arn}: nobody listens on port 0")
    try:
        # The resolver and TLS encode the name in the same way.
        url.hostname.encode("idna")
    except UnicodeError as error:
        raise HookTargetRefused(f"hooks.{arn}: {url.hostname} is no name of a host") from error
    path = (url.path or "/") + (f"?{url.query}" if url.query else "")
    is_tls = url.scheme == "https"
    return Webhook(url.hostname, port or _PORTS[url.scheme], path, is_tls=is_tls, signer=signer, trust=trust).ask


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
