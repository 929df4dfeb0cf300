"""Owns the reading and writing of numbers on the command line: durations, rates, counts. Independent of the options."""

import sys
from typing import Any

import click


class OrdinaryFloatRange(click.FloatRange):
    """A finite number in a range. NaN is refused, because every comparison with it is false."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail if it is invalid, out of range, or has no finite reciprocal."""
        number = float(super().convert(value, param, ctx))
        if number and not abs(number) >= sys.float_info.min:
            self.fail(f"{value!r} is no ordinary number.", param, ctx)
        return number


def counted(number: int, one: str, many: str) -> str:
    """Return the number with its noun."""
    return f"{number} {one if number == 1 else many}"
