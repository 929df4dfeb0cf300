"""`thingmint env`: prints the variables that point AWS's tools at the service in a data directory."""

import os
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from thingmint.cli.connection import serve_command
from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.data_directory.files import is_held
from thingmint.data_directory.handover import Endpoints, OperatorCredentials, read_credentials, read_endpoints

# These would make AWS's tools prefer other credentials, or sign with a token that belongs to them.
_IN_THE_WAY = ("AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE")


def print_environment(data_dir: Path) -> None:
    """Print shell lines for the running service; end with an error if none is running."""
    try:
        credentials, endpoints = read_credentials(data_dir), read_endpoints(data_dir)
    except (ValueError, OSError) as error:
        fail(in_words(error))
    if endpoints is None or not is_held(data_dir):
        fail(f"no service is running on {data_dir}: start it with `{serve_command(data_dir)}`")
    if credentials is None:
        fail(f"{data_dir} holds no credentials file: the administrator's access key was deleted")
    for line in environment_lines(endpoints, credentials, os.environ):
        click.echo(line)


def environment_lines(
    endpoints: Endpoints, credentials: OperatorCredentials, environment: Mapping[str, str]
) -> Iterator[str]:
    """Yield one shell line for each variable."""
    for name in _IN_THE_WAY:
        if name in environment:
            yield f"unset {name}"
    variables = {
        "AWS_ENDPOINT_URL_IOT": endpoints.api,
        "AWS_ENDPOINT_URL_IOT_DATA_PLANE": endpoints.api,
        # Terraform's AWS provider and other tools call GetCallerIdentity.
        "AWS_ENDPOINT_URL_STS": endpoints.api,
        "AWS_CA_BUNDLE": endpoints.ca_file,
        "AWS_ACCESS_KEY_ID": credentials.access_key_id,
        "AWS_SECRET_ACCESS_KEY": credentials.secret_access_key,
        "AWS_REGION": endpoints.region,
        "AWS_DEFAULT_REGION": endpoints.region,
        # Node.js and OpenSSL-based tools do not read AWS_CA_BUNDLE.
        "NODE_EXTRA_CA_CERTS": endpoints.ca_file,
    }
    for name, value in variables.items():
        if value is not None:
            yield f"export {name}={shlex.quote(value)}"
