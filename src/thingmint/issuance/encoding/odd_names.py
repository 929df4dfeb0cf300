"""Owns the suppression of the library's warnings about names in certificates. Does not change the parsed names."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def odd_names_allowed() -> Iterator[None]:
    """Suppress the library's warnings about names in this context.

    It counts the upper bounds of RFC 5280, A.1 in octets, so it warns of valid long names in Chinese or Greek.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
