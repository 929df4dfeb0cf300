"""`thingmint seal`: changes the passphrase of the keys in a data directory and its database.

The files come first. If the command is interrupted after them, run it again: it finds the files changed and continues
with the database.
"""

import asyncio
import os
from pathlib import Path

import click

from thingmint.cli.settings import fail
from thingmint.core.error_text import in_words
from thingmint.core.errors import ThingmintError
from thingmint.data_directory.certificate_files import AuthorityUnusable
from thingmint.data_directory.files import DirectoryInUse, held
from thingmint.data_directory.resealing import reseal
from thingmint.issuance.keys.private_keys import PrivateKeyError
from thingmint.service.opening import store_beside_service
from thingmint.service.start.joining import reseal_copy
from thingmint.service.start.passphrases import read_passphrase, read_passphrase_source
from thingmint.settings.config import Config, StartRefused


def seal_keys(config: Config, new_passphrase_file: Path | None, *, remove: bool) -> None:
    """Change the passphrase; a running service continues with the keys in its memory."""
    if remove is (new_passphrase_file is not None):
        fail("give either --new-passphrase-file or --remove")
    keys = config.data_dir / "keys"
    if not keys.is_dir():
        fail(f"{config.data_dir} holds no keys yet: `thingmint serve` makes them")
    try:
        present = read_passphrase(config.ca_passphrase_file, os.environ)
        wanted = read_passphrase_source(new_passphrase_file, "--new-passphrase-file")
        with held(keys, "thingmint seal"):
            changed = reseal(config.data_dir, present, wanted)
            click.echo(
                f"{changed} keys are {'stored without a passphrase' if remove else 'sealed by the new passphrase'}"
            )
            if config.database_url is not None:
                click.echo(asyncio.run(_reseal_copy(config, present, wanted)))
    except (StartRefused, DirectoryInUse, AuthorityUnusable, PrivateKeyError, ThingmintError, OSError) as error:
        fail(in_words(error))
    if changed and not remove:
        click.echo(
            "Give the new passphrase with ca_passphrase_file from now on, and delete copies and backups of the keys "
            "from before.",
            err=True,
        )


async def _reseal_copy(config: Config, present: bytes | None, wanted: bytes | None) -> str:
    async with store_beside_service(config) as store:
        return await reseal_copy(store, present, wanted)
