"""Owns the forms of a request's target (RFC 9112, 3.2). Does no I/O."""

import re

# RFC 9112, 3.2.1 and RFC 3986, 3.3: printable ASCII; a fragment is never sent (RFC 9110, 7.1).
_ORIGIN_FORM = re.compile(rb"/[\x21\x22\x24-\x7e]*")
_ABSOLUTE_FORM = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


def in_origin_form(target: bytes) -> tuple[bytes, bytes | None]:
    """Return path and query, and the authority of a target in absolute-form; None for a target in origin-form.

    Raises ValueError for other forms.
    """
    authority = None
    absolute = None if target.startswith(b"/") else _ABSOLUTE_FORM.fullmatch(target)
    if absolute is not None:
        authority, target = absolute.groups()
        # RFC 9110, 4.2.3: an empty path means the path "/".
        target = target if target.startswith(b"/") else b"/" + target
    if not _ORIGIN_FORM.fullmatch(target):
        raise ValueError("the target is not a path in printable ASCII")
    return target, authority
