"""Owns the two forms of the resource of a shared subscription in policies.

A client subscribes to ``$share/GROUP/FILTER``. Policies name all of it (``topicfilter/$share/GROUP/FILTER``, as the
samples of AWS's SDKs do) or only the filter (``topicfilter/FILTER``). Both forms are decided: a Deny of either form
denies the request, and an Allow of either form is enough. The same rule applies to iot:Receive of a message from a
shared subscription, with ``topic/$share/GROUP/TOPIC`` and ``topic/TOPIC``.
"""

import re

from thingmint.core.topics.names import SEPARATOR, SHARED_PREFIX

_KINDS = {"iot:subscribe": "topicfilter", "iot:receive": "topic"}
# The end of an ARN, or the whole resource if it is not an ARN.
_SHARED = re.compile(
    rf"(?P<before>(?:[^/]*:)?)(?P<kind>topicfilter|topic)/{re.escape(SHARED_PREFIX)}[^/]+/(?P<rest>.+)", re.DOTALL
)
_MARK = f"{SEPARATOR}{SHARED_PREFIX}"


def resource_forms(action: str, resource: str) -> tuple[str, ...]:
    """Return the unchanged resource and, for a shared subscription, the one without ``$share/GROUP/``."""
    if _MARK not in resource:
        return (resource,)
    shared = _SHARED.fullmatch(resource)
    if shared is None or _KINDS.get(action.lower()) != shared["kind"]:
        return (resource,)
    return resource, f"{shared['before']}{shared['kind']}/{shared['rest']}"
