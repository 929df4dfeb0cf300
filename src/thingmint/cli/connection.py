"""Owns how the command line finds the endpoint of a running service and the credentials for it."""

import os
import shlex
from collections.abc import Mapping
from pathlib import Path

import click

from thingmint.core.error_text import in_words
from thingmint.data_directory.handover import read_credentials, read_endpoints
from thingmint.rest.signed_client import (
    Connection,
    ServiceNotVerified,
    ServiceRefused,
    ServiceUnreachable,
    SignedClient,
)

__all__ = [
    "Connection",
    "ServiceNotVerified",
    "ServiceRefused",
    "ServiceUnreachable",
    "SignedClient",
    "find_connection",
    "serve_command",
    "shown_connection",
]


# In the order of AWS's tools: the variable of one service takes precedence over that of all services.
_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_IOT", "AWS_ENDPOINT_URL")


def serve_command(data_dir: Path) -> str:
    """Return the command that starts a service on the data directory."""
    return f"thingmint serve{data_dir_option(data_dir)}"


def data_dir_option(data_dir: Path) -> str:
    """Return the option that names the data directory, with a space before it; nothing for the default one."""
    try:
        is_default = data_dir.resolve() == Path("thingmint-data").resolve()
    except FileNotFoundError:
        # The working directory was removed.
        is_default = False
    return "" if is_default else f" --data-dir {shlex.quote(str(data_dir))}"


def find_connection(
    data_dir: Path, environment: Mapping[str, str] = os.environ, *, is_named: bool = False
) -> Connection:
    """Return the connection from AWS's variables, or else that of the service in the data directory.

    A data directory named on the command line takes precedence over the variables, so no other service is called.
    Raises LookupError, saying what is missing.
    """
    given = next((name for name in _ENDPOINT_VARIABLES if environment.get(name)), None)
    if not is_named and given is not None:
        try:
            return Connection(
                endpoint=environment[given],
                ca_file=environment.get("AWS_CA_BUNDLE"),
                region=environment.get("AWS_REGION") or environment["AWS_DEFAULT_REGION"],
                access_key_id=environment["AWS_ACCESS_KEY_ID"],
                secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
                session_token=environment.get("AWS_SESSION_TOKEN") or None,
                is_of_variables=True,
                variable=given,
            )
        except KeyError as error:
            missing = error.args[0].replace("_DEFAULT_", "_")
            raise LookupError(
                f'{given} is set, but {missing} is not: set it, or set all of them by eval "$(thingmint env)"'
            ) from error
    try:
        endpoints, credentials = read_endpoints(data_dir), read_credentials(data_dir)
    except (ValueError, OSError) as error:
        raise LookupError(in_words(error)) from error
    if endpoints is None or credentials is None:
        raise LookupError(
            f"no service is running on {data_dir}: start it with `{serve_command(data_dir)}`, name its data directory "
            "with --data-dir, or set AWS_ENDPOINT_URL_IOT and the other variables that `thingmint env` prints"
        )
    return Connection(
        endpoint=endpoints.api,
        ca_file=endpoints.ca_file,
        region=endpoints.region,
        access_key_id=credentials.access_key_id,
        secret_access_key=credentials.secret_access_key,
        session_token=None,
    )


def shown_connection(data_dir: Path, *, is_named: bool) -> Connection:
    """Return the connection as ``find_connection`` does; print the service's address if AWS's variables name it."""
    connection = find_connection(data_dir, is_named=is_named)
    if connection.is_of_variables:
        click.echo(f"The service is {connection.endpoint}, from {connection.variable}.", err=True)
    return connection
