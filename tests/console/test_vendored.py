"""What is vendored is what its authors have published, byte by byte, and its licence is beside it."""

import hashlib
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "src" / "thingmint" / "console" / "static" / "vendor"
# From the archives of htmx.org 2.0.11 and uplot 1.6.32 in the npm registry.
SHA256 = {
    "htmx.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
    "htmx.min.js": "d6fdc75f204e6bdefa99b69bf1e6d4ac69b8a364f77929f45c13476b4000f717",
    "uplot.LICENSE": "8f989229699b4fe2f1a0432d0e9edc338a8a911e250e2d1b01ecd770a5f5b1bd",
    "uplot.min.css": "df630c6a8d6f8eeaff264b50f73ce5b114f646ffd9a0bb74f049b0a00135fa04",
    "uplot.min.js": "19c8d4c6ad88929a79f4ae49d6f7161566dfd0ba3d15cc495e974f787eb78f1f",
}


@pytest.mark.parametrize("name", SHA256)
def test_a_vendored_file_is_as_it_was_published(name: str) -> None:
    assert hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() == SHA256[name]


def test_nothing_else_is_vendored() -> None:
    assert {file.name for file in FOLDER.iterdir()} == SHA256.keys()
    assert {name.partition(".")[0] for name in SHA256 if name.endswith(".LICENSE")} == {"htmx", "uplot"}
