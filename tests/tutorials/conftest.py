"""Gives tests of pages somebody who types what they say."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.clients.tutorial import Reader
from tests.support.machine.required import required_program


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    """Somebody in an empty directory."""
    for program in ("bash", "openssl"):
        required_program(program)
    reader = Reader(tmp_path)
    try:
        yield reader
    finally:
        reader.stop()
