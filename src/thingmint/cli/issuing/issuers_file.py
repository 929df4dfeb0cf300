"""Owns issuers.pem in the output folder of `thingmint issue`: the CA certificates that verify its certificates."""

from pathlib import Path

from thingmint.cli.connection import Connection
from thingmint.data_directory.authorities import DEVICE_AUTHORITIES
from thingmint.data_directory.files import write_durably
from thingmint.host.given_files import read_given
from thingmint.settings.config import Config

ISSUERS = "issuers.pem"


def write_issuers(config: Config, connection: Connection | None, folder: Path) -> None:
    """Write the issuers' certificates into the folder, if this machine has them."""
    if connection is None or not connection.is_of_variables:
        source = config.data_dir / DEVICE_AUTHORITIES
    elif connection.ca_file is not None:
        # The variables may name another service than that of the data directory. Its CA file is in its data directory,
        # or in a folder into which an operator has copied both files.
        source = Path(connection.ca_file).with_name(DEVICE_AUTHORITIES)
    else:
        return
    if source.exists():
        write_durably(folder / ISSUERS, read_given(source), 0o644)
