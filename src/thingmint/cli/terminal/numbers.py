"""Owns how numbers of the command line are read where they count seconds or rates; knows no option by name."""

import sys
from typing import Any

import click


class OrdinaryFloatRange(click.FloatRange):
    """A number in a range that can be counted with: not NaN, which is in no range and passes every comparison."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; fail for what is none, is out of range, or has no finite reciprocal."""
        number = float(super().convert(value, param, ctx))
        if number and not abs(number) >= sys.float_info.min:
            self.fail(f"{value!r} is no ordinary number.", param, ctx)
        return number
