"""Owns the form of request ids."""

from thingmint.host.random_ids import random_id


def new_request_id() -> str:
    """Return a request id in the form that AWS uses."""
    return random_id()
