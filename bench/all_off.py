"""Runs `thingmint` with a service without log, revocation lists and OCSP, to measure what they cost together."""

import asyncio
from unittest.mock import patch

from bench.without_log import NoSequencer
from thingmint.cli.commands import main
from thingmint.registration.revocation.publisher import Publisher
from thingmint.service import serving


async def _write_nothing(_: Publisher) -> None:
    """Wait until cancelled."""
    await asyncio.Event().wait()


if __name__ == "__main__":
    with patch.object(serving, "Sequencer", NoSequencer), patch.object(Publisher, "run", _write_nothing):
        main(prog_name="thingmint")
