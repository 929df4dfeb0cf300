"""Owns that the library's opinions of names in certificates reach no log; changes nothing that is read."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def odd_names_allowed() -> Iterator[None]:
    """Read names without the library's warnings.

    It counts the bounds of RFC 5280, A.1 in octets, and warns of every name in Chinese or Greek that fills them.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
