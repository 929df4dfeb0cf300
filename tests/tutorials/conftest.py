"""Gives tutorials a server of PostgreSQL."""

from tests.support.postgresql import postgresql_cluster  # noqa: F401  fixtures are found by name
