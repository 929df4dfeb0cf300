"""Owns keys in a PKCS#11 token, which are generated and sign in the token and never leave it.

A small pool of processes has one session each, so that signatures run in parallel to the event loop and to each other.
If a process fails, it is ended, and a new process gets the same request once. Therefore the service needs no restart
after a token was removed and inserted again, or after the module crashed. While the token is not available, requests
are refused at once.
"""

import asyncio
import contextlib
import json
import sys
import time
from importlib.util import find_spec
from pathlib import Path

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.signer import SignerUnavailable
from thingmint.signers.token_uri import TokenURI

SESSIONS = 4
_PROCESS = "thingmint.signers.pkcs11_process"
# A signature takes milliseconds; generating an RSA key of 4096 bits in a small token takes minutes.
_ANSWER_SECONDS = 30.0
_GENERATION_SECONDS = 600.0
_AWAY_SECONDS = 0.5
_MOST_LINE_BYTES = 1 << 20


class _Refused(ValueError):
    """The answer of the process is the name of an error."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Token:
    """One token, which may be available or not. A Token belongs to one event loop."""

    def __init__(self, module: Path, pin_file: Path, uri: TokenURI) -> None:
        self._uri = uri
        self._first = dict(uri.token) | {"module": str(module), "pin_file": str(pin_file)}
        self._idle: list[asyncio.subprocess.Process] = []
        self._places = asyncio.Semaphore(SESSIONS)
        self._away_until = 0.0

    async def ask(self, *, seconds: float = _ANSWER_SECONDS, **question: str) -> bytes:
        """Return the token's answer; raise SignerUnavailable if the token is not available."""
        async with self._places:
            if self._idle:
                with contextlib.suppress(SignerUnavailable):
                    return await self._ask(self._idle.pop(), question, seconds)
            if time.monotonic() < self._away_until:
                raise SignerUnavailable(f"{self._uri} could not be used a moment ago")
            try:
                process = await self._opened()
            except SignerUnavailable:
                self._away_until = time.monotonic() + _AWAY_SECONDS
                raise
            return await self._ask(process, question, seconds)

    async def close(self) -> None:
        """End the processes that are idle."""
        while self._idle:
            await _end(self._idle.pop())

    async def _opened(self) -> asyncio.subprocess.Process:
        if find_spec("pkcs11") is None:
            raise SignerUnavailable("python-pkcs11 is not installed: pip install 'thingmint[pkcs11]'")
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            _PROCESS,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            limit=_MOST_LINE_BYTES,
            # Ctrl-C must end the service only, which still needs the token for the requests in progress.
            start_new_session=True,
        )
        # The answer to the first line confirms that the token is open.
        await self._ask(process, self._first, _ANSWER_SECONDS)
        return self._idle.pop()

    async def _ask(self, process: asyncio.subprocess.Process, question: dict[str, str], seconds: float) -> bytes:
        """Send a request to a process; keep it for the next request, or end it after an invalid or late answer."""
        try:
            # Unlike `asyncio.wait_for` before Python 3.12, this loses no cancellation that comes with the answer.
            async with asyncio.timeout(seconds):
                answer = await _answer(process, question)
            octets = bytes.fromhex(answer["octets"])
        except (OSError, TimeoutError, ValueError, KeyError) as error:
            await _end(process)
            reason = error.name if isinstance(error, _Refused) else type(error).__name__
            raise SignerUnavailable(f"{self._uri}: {reason}") from error
        except BaseException:
            # The caller was cancelled. The answer that is still to come would be taken for that of the next request.
            process.kill()
            raise
        self._idle.append(process)
        return octets


class TokenSigner:
    """An `issuance.signer.Signer` whose key is in a token."""

    is_in_process = False

    def __init__(self, token: Token, key_id: bytes, public_key: PublicKey) -> None:
        self._token = token
        self._key_id = key_id
        self.public_key = public_key

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the token's signature in the form of X.509; raise ServiceUnavailable if the token is not available."""
        bits = self.public_key.key_size
        return await self._token.ask(
            do="sign", id=self._key_id.hex(), content=content.hex(), hash=algorithm.name, octets=str((bits + 7) // 8)
        )

    async def check(self) -> None:
        """Return if the key is available now; raise ServiceUnavailable otherwise."""
        await self._token.ask(do="check", id=self._key_id.hex())


async def generate_in_token(token: Token, key_type: str, key_id: bytes, label: str) -> PublicKey:
    """Generate a key pair in the token, or find an existing one with this id; return its public key.

    The private key is sensitive and not extractable. Raises SignerUnavailable if the token is not available.
    """
    der = await token.ask(seconds=_GENERATION_SECONDS, do="generate", key_type=key_type, id=key_id.hex(), label=label)
    public_key = serialization.load_der_public_key(der)
    assert isinstance(public_key, ec.EllipticCurvePublicKey | rsa.RSAPublicKey)
    return public_key


async def destroy_in_token(token: Token, key_id: bytes) -> None:
    """Delete the key pair from the token, if it exists; raise SignerUnavailable if the token is not available."""
    await token.ask(do="destroy", id=key_id.hex())


async def _answer(process: asyncio.subprocess.Process, question: dict[str, str]) -> dict[str, str]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(question).encode() + b"\n")
    await process.stdin.drain()
    answer: dict[str, str] = json.loads(await process.stdout.readline())
    if "error" in answer:
        raise _Refused(answer["error"])
    return answer


async def _end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
