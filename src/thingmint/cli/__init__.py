"""Owns the command line: each command imports what it needs when it runs, so that `--help` and `env` start at once."""

from thingmint.cli.commands import main

__all__ = ["main"]
