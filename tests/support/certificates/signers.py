"""Owns issuers for tests: with a key in the memory of this process, and with a key that another process has."""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec.structs import replace
from tests.support.databases.memory_store import MemoryStore
from tests.support.registration.authority import NOW, issuers_of, new_authority

from thingmint.core.errors import ServiceUnavailable
from thingmint.core.identifiers import SerialNumber
from thingmint.issuance.authorities.issuing_ca import IssuingCA
from thingmint.issuance.authorities.trust_anchor import CertificateAuthority, create_issuing_ca, create_root_ca
from thingmint.issuance.issuer import Issuer
from thingmint.issuance.keys.key_pairs import PublicKey, load_public_key
from thingmint.issuance.keys.private_keys import PrivateKey
from thingmint.issuance.profiles.profile import CertificateProfile
from thingmint.registration.kernel.authority import RegistrationAuthority
from thingmint.registration.kernel.ports import Store
from thingmint.signers.file_key import FileKeySigner

T = TypeVar("T")

# Makes a key, tells its public half, and signs what is sent: each line is the content in hex, and so is each answer.
# After the line `wrong` it signs something else than what was sent.
_PROGRAM = """
import sys
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
key = ec.generate_private_key(ec.SECP256R1())
public = key.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
print(public.hex(), flush=True)
more = b""
for line in sys.stdin:
    if line.strip() == "wrong":
        more = b"wrong"
        continue
    print(key.sign(bytes.fromhex(line) + more, ec.ECDSA(hashes.SHA256())).hex(), flush=True)
"""


def at_once(work: Coroutine[object, object, T]) -> T:
    """Return the result of a coroutine that must not wait for anything."""
    try:
        work.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    raise AssertionError("the coroutine waits")


def issuer_of(certificate: x509.Certificate, private_key: PrivateKey, profile: CertificateProfile) -> Issuer:
    """Return an issuer whose key is in the memory of this process."""
    return Issuer(IssuingCA(certificate, FileKeySigner(private_key)), profile)


class SigningProcess:
    """An `issuance.signer.Signer` whose key is in another process, which tests can stop and kill."""

    is_in_process = False

    def __init__(self, popen: "subprocess.Popen[str]") -> None:
        self._popen = popen
        self.public_key: PublicKey = load_public_key(bytes.fromhex(self._read()))

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Return the signature of the other process; raise ServiceUnavailable if it has ended."""
        assert isinstance(algorithm, hashes.SHA256)
        try:
            return bytes.fromhex(await asyncio.to_thread(self._ask, content.hex()))
        except (OSError, EOFError) as error:
            raise ServiceUnavailable("The signing process has ended") from error

    async def check(self) -> None:
        """Return if the other process runs; raise ServiceUnavailable otherwise."""
        if self._popen.poll() is not None:
            raise ServiceUnavailable("The signing process has ended")

    def sign_something_else(self) -> None:
        """Make all later signatures wrong."""
        self._write("wrong")

    def stop(self) -> None:
        """Keep the process from answering until `go_on`."""
        self._popen.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer what it was asked meanwhile."""
        self._popen.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it as a removed token would be gone."""
        self._popen.kill()
        self._popen.wait()

    def _ask(self, line: str) -> str:
        self._write(line)
        return self._read()

    def _write(self, line: str) -> None:
        assert self._popen.stdin is not None
        self._popen.stdin.write(f"{line}\n")
        self._popen.stdin.flush()

    def _read(self) -> str:
        assert self._popen.stdout is not None
        line = self._popen.stdout.readline()
        if not line:
            raise EOFError
        return line


@contextmanager
def signing_process() -> Iterator[SigningProcess]:
    """Yield a signer in a process of its own, which is ended afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as popen:
        try:
            yield SigningProcess(popen)
        finally:
            popen.kill()
            assert popen.stdin is not None
            # What was written to a process that had ended is still in the buffer, and closing writes it.
            with suppress(BrokenPipeError):
                popen.stdin.close()


def authority_with(signer: SigningProcess, store: Store | None = None) -> RegistrationAuthority:
    """Return an authority whose active issuer has its key in the other process, and that shares nothing else."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = CertificateAuthority(create_root_ca(root_key, SerialNumber(1 << 100), NOW), root_key)
    certificate = create_issuing_ca(root, signer.public_key, SerialNumber(1 << 101), NOW)
    return replace(new_authority(), issuers=issuers_of(IssuingCA(certificate, signer)), store=store or MemoryStore())
