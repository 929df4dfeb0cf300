"""Parameters that tell of a device's production."""

import pytest

from thingmint.core.errors import InvalidRequest
from thingmint.core.provisioning.production import production_details


def test_only_parameters_of_the_production_are_details() -> None:
    parameters = {"Thingmint::Batch": "B-17", "Thingmint::Station": "line 2", "ThingName": "lamp"}
    assert production_details(parameters) == {"batch": "B-17", "station": "line 2"}
    assert production_details({"Thingmint::Operator": "ann"}) == {"operator": "ann"}
    assert production_details({}) == {}


@pytest.mark.parametrize("value", ["", "x" * 129, "two\nlines", "\x1b[2J"])
def test_values_that_a_log_could_not_show_are_refused(value: str) -> None:
    with pytest.raises(InvalidRequest, match="Thingmint::Batch has 1 to 128 characters"):
        production_details({"Thingmint::Batch": value})
