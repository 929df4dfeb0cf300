"""Owns the generation of key pairs in threads of this process, for Windows, where workers cannot inherit sockets.

For commands that make keys one after the other. A service uses workers, because its event loop must not wait.
"""

import asyncio

from thingmint.issuance.keys.key_pairs import KeyPair, generate_key_pair


class InProcessKeys:
    """Makes each key pair when it is asked for."""

    async def take(self) -> KeyPair:
        """Return a key pair that no other caller gets."""
        return await asyncio.to_thread(generate_key_pair)
