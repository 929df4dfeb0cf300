"""Runs `thingmint` with a service that gives no entry its place in the log, to measure what the log costs."""

import asyncio
from unittest.mock import patch

from thingmint.cli.commands import main
from thingmint.service import serving


class NoSequencer:
    """Takes the place of the sequencer and does nothing."""

    def __init__(self, *_: object) -> None:
        pass

    async def run(self) -> None:
        """Wait until cancelled."""
        await asyncio.Event().wait()


if __name__ == "__main__":
    with patch.object(serving, "Sequencer", NoSequencer):
        main(prog_name="thingmint")
