"""A name that another transaction frees between two statements of an insertion; the answers are those of a database."""

from collections.abc import Sequence

import pytest
from tests.support.registration.things import sample_billing_group, sample_group, sample_thing, sample_type

from thingmint.records.registry import billing_groups as billing_group_table
from thingmint.records.registry import thing_groups as thing_group_table
from thingmint.records.registry import thing_types as thing_type_table
from thingmint.records.registry import things as thing_table
from thingmint.records.statement import Row, Statement
from thingmint.records.steps import Steps

TAKEN: Sequence[Row] = ()
FREED: Sequence[Row] = ()
STORED: Sequence[Row] = ((1,),)


@pytest.mark.parametrize(
    "insertion",
    [
        pytest.param(thing_table.insert_thing(sample_thing("lamp")), id="thing"),
        pytest.param(thing_type_table.insert_thing_type(sample_type("light")), id="thing type"),
        pytest.param(thing_group_table.insert_thing_group(sample_group("house")), id="thing group"),
        pytest.param(billing_group_table.insert_billing_group(sample_billing_group("ward")), id="billing group"),
    ],
)
def test_a_name_that_is_freed_after_it_was_found_taken_is_given(insertion: Steps[object]) -> None:
    first = next(insertion)
    assert isinstance(first, Statement)
    assert first.sql.startswith("INSERT")
    looked_for = insertion.send(TAKEN)
    assert isinstance(looked_for, Statement)
    assert looked_for.sql.startswith("SELECT")
    assert insertion.send(FREED) == first
    with pytest.raises(StopIteration) as ended:
        insertion.send(STORED)
    assert ended.value.value is None
