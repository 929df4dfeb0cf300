"""Owns the command line. Each command imports its modules when it runs, so that `--help` and `env` start fast."""

from thingmint.cli.commands import main

__all__ = ["main"]
