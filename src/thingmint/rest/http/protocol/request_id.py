"""Owns the form of request ids."""

import uuid


def new_request_id() -> str:
    """Return a request id in the form that AWS uses."""
    return str(uuid.uuid4())
