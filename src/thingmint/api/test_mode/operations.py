"""Owns the table of the test mode's operations, with the permissions that each one needs."""

from thingmint.api.test_mode import controls
from thingmint.api.test_mode.controls import Controls
from thingmint.api.wire.operation import Implemented, operation

OPERATIONS: tuple[Implemented[Controls], ...] = (
    operation(controls.move_clock),
    operation(controls.reset),
    operation(controls.seed),
)
