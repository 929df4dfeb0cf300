"""Owns the paths of EST and the operation of each. Serves no requests.

RFC 7030, 3.2.2: the operations are below ``/.well-known/est``, and below a label there. A label is not the name of an
operation.
"""

import re
from enum import Enum

from msgspec import Struct

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import TemplateName, parse_template_name


class EstOperation(Enum):
    """An operation of EST; the value is the last segment of its path, and its name in metrics and logs."""

    CA_CERTIFICATES = ("cacerts", "EstCACertificates")
    CSR_ATTRIBUTES = ("csrattrs", "EstCSRAttributes")
    SIMPLE_ENROLL = ("simpleenroll", "EstSimpleEnroll")
    SIMPLE_REENROLL = ("simplereenroll", "EstSimpleReenroll")
    SERVER_KEYGEN = ("serverkeygen", "EstServerKeygen")

    @property
    def segment(self) -> str:
        """The last segment of the operation's path."""
        return self.value[0]

    @property
    def shown_as(self) -> str:
        """The operation's name in metrics and logs."""
        return self.value[1]

    @property
    def methods(self) -> tuple[str, ...]:
        """The HTTP methods of the operation."""
        is_read = self in (EstOperation.CA_CERTIFICATES, EstOperation.CSR_ATTRIBUTES)
        return ("GET", "HEAD") if is_read else ("POST",)


class EstPath(Struct, frozen=True):
    """An operation, and the provisioning template that the label names."""

    operation: EstOperation
    template: TemplateName | None


_BY_SEGMENT = {each.segment: each for each in EstOperation}
_NO_LABELS = frozenset({*_BY_SEGMENT, "fullcmc"})
_PATH = re.compile(r"/\.well-known/est(?:/([^/]+))?/([a-z]+)")


def parse_est_path(path: bytes) -> EstPath | None:
    """Return the operation and label of the path; None if it is not a path of EST."""
    found = _PATH.fullmatch(path.decode("latin-1"))
    operation = None if found is None else _BY_SEGMENT.get(found[2])
    if found is None or operation is None or found[1] in _NO_LABELS:
        return None
    try:
        return EstPath(operation, None if found[1] is None else parse_template_name(found[1]))
    except InvalidRequest:
        return None
