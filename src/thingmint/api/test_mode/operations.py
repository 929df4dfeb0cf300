"""Owns the table of the test mode's operations, each with what it needs of the caller's policies."""

from thingmint.api.test_mode import controls
from thingmint.api.test_mode.controls import Controls
from thingmint.api.wire.operation import Implemented, operation

OPERATIONS: tuple[Implemented[Controls], ...] = (
    operation(controls.move_clock),
    operation(controls.reset),
    operation(controls.seed),
)
