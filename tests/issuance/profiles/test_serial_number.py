"""Serial numbers are positive, at most 159 bits long and never zero."""

from hypothesis import given
from hypothesis import strategies as st

from thingmint.issuance.profiles.serial_number import random_serial_number


@given(st.binary(min_size=20, max_size=20).filter(lambda octets: any(octets[1:]) or octets[0] & 0x7F))
def test_a_serial_number_keeps_159_of_the_160_bits(octets: bytes) -> None:
    serial_number = random_serial_number(lambda count: octets[:count])
    assert 0 < serial_number < 1 << 159
    assert serial_number == int.from_bytes(octets, "big") % (1 << 159)


def test_twenty_octets_are_drawn_and_zero_is_drawn_again() -> None:
    draws = iter([b"\0" * 20, b"\x80" + b"\0" * 19, b"\0" * 19 + b"\x07"])
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return next(draws)

    assert random_serial_number(random_bytes) == 7
    assert asked == [20, 20, 20]
