"""Owns key pairs that are made in threads of this process, where the system cannot give workers their sockets: Windows.

For commands that make keys one after the other. A service has workers, because its event loop must not wait.
"""

import asyncio

from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair


class InProcessKeys:
    """Makes each key pair when it is asked for."""

    workers = 1

    async def take(self) -> KeyPair:
        """Return a key pair nobody else has."""
        return await asyncio.to_thread(generate_key_pair)
