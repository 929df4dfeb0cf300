"""Owns how policies are asked about shared subscriptions, whose resources have two forms.

A client subscribes to ``$share/GROUP/FILTER``. Policies name the whole of it (``topicfilter/$share/GROUP/FILTER``, as
the samples of AWS's SDKs do) or the filter alone (``topicfilter/FILTER``). Both forms are asked: a Deny of either
refuses, and an Allow of either is enough. The same holds for iot:Receive of a message that comes through a shared
subscription, on ``topic/$share/GROUP/TOPIC`` and ``topic/TOPIC``.
"""

import re

from thingmint.core.topics.names import SEPARATOR, SHARED_PREFIX

_KINDS = {"iot:subscribe": "topicfilter", "iot:receive": "topic"}
# The end of an ARN, or all that there is of it.
_SHARED = re.compile(
    rf"(?P<before>(?:[^/]*:)?)(?P<kind>topicfilter|topic)/{re.escape(SHARED_PREFIX)}[^/]+/(?P<rest>.+)", re.DOTALL
)
_MARK = f"{SEPARATOR}{SHARED_PREFIX}"


def resource_forms(action: str, resource: str) -> tuple[str, ...]:
    """Return the resource as it was given and, for a shared subscription, without ``$share/GROUP/``."""
    if _MARK not in resource:
        return (resource,)
    shared = _SHARED.fullmatch(resource)
    if shared is None or _KINDS.get(action.lower()) != shared["kind"]:
        return (resource,)
    return resource, f"{shared['before']}{shared['kind']}/{shared['rest']}"
