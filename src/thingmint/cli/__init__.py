"""Owns the command line, whose commands import their modules when they run, so that `--help` and `env` start fast."""

from thingmint.cli.commands import main

__all__ = ["main"]
