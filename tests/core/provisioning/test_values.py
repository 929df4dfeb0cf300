"""How much text one template may come to."""

from collections.abc import Callable

import pytest

from thingmint.core.errors import InvalidParameters
from thingmint.core.provisioning.values import MAX_CHARACTERS, Resolution

TOO_LONG = "the template's values have more than 262144 characters"


def with_left(characters: int) -> Resolution:
    """Return a resolution in which so many characters are left."""
    resolution = Resolution({"five": "12345"}, {"m": {"k": {"f": ("123", "45"), "t": "12345"}}})
    resolution.spend(MAX_CHARACTERS - characters)
    return resolution


def test_all_that_is_left_may_be_used() -> None:
    resolution = with_left(5)
    resolution.spend(5)
    with pytest.raises(InvalidParameters, match=TOO_LONG):
        resolution.spend(1)


READS: list[Callable[[Resolution], str | tuple[str, ...]]] = [
    lambda resolution: resolution.parameter("five"),
    lambda resolution: resolution.mapped("m", "k", "f"),
    lambda resolution: resolution.mapped("m", "k", "t"),
]


@pytest.mark.parametrize("read", READS)
def test_parameters_and_mappings_are_counted(read: Callable[[Resolution], str | tuple[str, ...]]) -> None:
    assert "".join(read(with_left(5))) == "12345"
    with pytest.raises(InvalidParameters, match=TOO_LONG):
        read(with_left(4))


@pytest.mark.parametrize(
    ("texts", "joined"), [((), ""), (("ab",), "ab"), (("ab", "c"), "ab--c"), (("ab", "", "c"), "ab----c")]
)
def test_delimiters_are_counted_where_they_stand(texts: tuple[str, ...], joined: str) -> None:
    assert with_left(len(joined)).joined("--", texts) == joined
    with pytest.raises(InvalidParameters, match=TOO_LONG):
        with_left(len(joined) - 1).joined("--", texts)
