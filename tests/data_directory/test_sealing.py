"""Sealed secrets come back under the same key and name, and under no other."""

import os
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.sealing import Sealer

MATERIAL = bytes(range(32))
WRITTEN_BEFORE = "01070707070707070707070707c4b0f959365928b4f5774671a692ef3686fd66ffa4ea"
SECRET = b"wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


def sealer(material: bytes = MATERIAL) -> Sealer:
    return Sealer(material, os.urandom)


@given(st.binary(max_size=200), st.text(st.characters(exclude_categories=["Cs"]), max_size=20))
def test_secret_comes_back_under_its_name(secret: bytes, name: str) -> None:
    assert sealer().unseal(sealer().seal(secret, name), name) == secret


def test_same_secret_is_sealed_differently_each_time() -> None:
    one = sealer()
    assert one.seal(SECRET, "name") != one.seal(SECRET, "name")


def test_nonce_is_what_the_random_source_gives() -> None:
    counter = count(1)
    sealed = Sealer(MATERIAL, lambda size: next(counter).to_bytes(size)).seal(SECRET, "name")
    assert sealed[:13] == b"\x01" + (1).to_bytes(12)
    assert len(sealed) == 13 + len(SECRET) + 16
    assert SECRET not in sealed


def test_sealed_form_is_readable_by_later_versions() -> None:
    # Written by this version's format; what is in databases must stay readable.
    sealed = Sealer(MATERIAL, lambda size: b"\x07" * size).seal(b"secret", "access-key/AKID")
    assert sealed.hex() == WRITTEN_BEFORE
    assert sealer().unseal(bytes.fromhex(WRITTEN_BEFORE), "access-key/AKID") == b"secret"


@given(st.data())
def test_every_changed_byte_is_noticed(data: st.DataObject) -> None:
    sealed = bytearray(sealer().seal(SECRET, "name"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(ServiceUnavailable):
        sealer().unseal(bytes(sealed), "name")


@given(st.integers(0, 68))
def test_truncation_is_noticed(length: int) -> None:
    with pytest.raises(ServiceUnavailable):
        sealer().unseal(sealer().seal(SECRET, "name")[:length], "name")


@pytest.mark.parametrize(
    ("material", "name"), [(MATERIAL, "another"), (MATERIAL[::-1], "name"), (MATERIAL + b"\0", "name")]
)
def test_another_key_or_name_unseals_nothing(material: bytes, name: str) -> None:
    sealed = sealer().seal(SECRET, "name")
    with pytest.raises(ServiceUnavailable, match="it is damaged, or it was sealed with another key") as refusal:
        sealer(material).unseal(sealed, name)
    assert SECRET.decode() not in str(refusal.value)


def test_another_format_is_named() -> None:
    with pytest.raises(ServiceUnavailable, match="format that this version of the service cannot read"):
        sealer().unseal(b"\x02" + bytes(40), "name")


def test_short_key_material_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32 bytes"):
        sealer(bytes(31))


def test_key_is_not_in_the_repr() -> None:
    assert MATERIAL.hex() not in repr(sealer()).lower()
    assert repr(MATERIAL) not in repr(sealer())
