"""Owns the paths of EST and what is asked with each; serves none.

RFC 7030, 3.2.2: the operations are below ``/.well-known/est``, and below a label there.
"""

import re
from dataclasses import dataclass
from enum import Enum

from thingmint.core.errors import InvalidRequest
from thingmint.core.identifiers import TemplateName, parse_template_name


class EstOperation(Enum):
    """What a client asks for; the value is the last segment of the path, and its name in metrics and logs."""

    CA_CERTIFICATES = ("cacerts", "EstCACertificates")
    CSR_ATTRIBUTES = ("csrattrs", "EstCSRAttributes")
    SIMPLE_ENROLL = ("simpleenroll", "EstSimpleEnroll")
    SIMPLE_REENROLL = ("simplereenroll", "EstSimpleReenroll")
    SERVER_KEYGEN = ("serverkeygen", "EstServerKeygen")

    @property
    def segment(self) -> str:
        """The last segment of its path."""
        return self.value[0]

    @property
    def shown_as(self) -> str:
        """Its name in metrics and logs."""
        return self.value[1]

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods that it is asked with."""
        is_read = self in (EstOperation.CA_CERTIFICATES, EstOperation.CSR_ATTRIBUTES)
        return ("GET", "HEAD") if is_read else ("POST",)


@dataclass(frozen=True, slots=True)
class EstPath:
    """An operation, and the provisioning template that the label names."""

    operation: EstOperation
    template: TemplateName | None


_BY_SEGMENT = {each.segment: each for each in EstOperation}
_PATH = re.compile(r"/\.well-known/est(?:/([^/]+))?/([a-z]+)")


def parse_est_path(path: bytes) -> EstPath | None:
    """Return what the path names; None if it is none of EST's."""
    found = _PATH.fullmatch(path.decode("latin-1"))
    operation = None if found is None else _BY_SEGMENT.get(found[2])
    if found is None or operation is None:
        return None
    try:
        return EstPath(operation, None if found[1] is None else parse_template_name(found[1]))
    except InvalidRequest:
        return None
