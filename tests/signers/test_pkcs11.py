"""Keys in a token sign as keys in files do; a token that goes away and comes back needs no restart."""

import asyncio
import contextlib
import os
import secrets
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from tests.support.certificates.softhsm import PIN, SoftHSM, new_softhsm
from tests.support.services.processes import children_of

from thingmint.issuance.authorities.issuer_request import issuer_request, issuer_subject
from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.signer import SignerUnavailable
from thingmint.signers import pkcs11
from thingmint.signers.pkcs11 import SESSIONS, Token, TokenSigner, destroy_in_token, generate_in_token
from thingmint.signers.token_uri import parse_token_uri

CONTENT = b"to be signed"
EXPECTED = {
    "pin": "PinIncorrect",
    "pin file": "FileNotFoundError",
    "endless pin file": "OSError",
    "token": "TokenNotFound",
    "module": "PKCS11Error",
}


@pytest.fixture
def hsm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHSM:
    made = new_softhsm(tmp_path / "hsm")
    for name, value in made.environment.items():
        monkeypatch.setenv(name, value)
    return made


@pytest.fixture
async def token(hsm: SoftHSM) -> AsyncIterator[Token]:
    opened = Token(hsm.module, hsm.pin_file, parse_token_uri(hsm.uri))
    yield opened
    await opened.close()


def verify(public_key: PublicKey, signature: bytes, algorithm: hashes.HashAlgorithm) -> None:
    if isinstance(public_key, rsa.RSAPublicKey):
        public_key.verify(signature, CONTENT, padding.PKCS1v15(), algorithm)
    else:
        public_key.verify(signature, CONTENT, ec.ECDSA(algorithm))


@pytest.mark.parametrize("key_type", ["ecdsa-p256", "ecdsa-p384", "rsa-2048"])
async def test_a_key_that_was_generated_in_the_token_signs_and_requests_a_certificate(
    token: Token, key_type: str
) -> None:
    key_id = secrets.token_bytes(16)
    public_key = await generate_in_token(token, key_type, key_id, "label")
    # What was cut off is found again, and not made twice.
    assert await generate_in_token(token, key_type, key_id, "label") == public_key
    signer = TokenSigner(token, key_id, public_key)
    assert not signer.is_in_process
    for algorithm in (hashes.SHA256(), hashes.SHA384(), hashes.SHA512()):
        verify(public_key, await signer.sign(CONTENT, algorithm), algorithm)
    assert b"REQUEST" in await issuer_request(signer, issuer_subject(public_key, None))
    await signer.check()
    await destroy_in_token(token, key_id)
    for asked in (signer.check(), signer.sign(CONTENT, hashes.SHA256())):
        with pytest.raises(SignerUnavailable) as refused:
            await asked
        assert "NoSuchKey" in refused.value.reason
        assert "pkcs11" not in refused.value.message


async def test_no_more_processes_sign_at_once_than_there_may_be_sessions(token: Token) -> None:
    key_id = secrets.token_bytes(16)
    signer = TokenSigner(token, key_id, await generate_in_token(token, "ecdsa-p256", key_id, "label"))
    signatures = await asyncio.gather(*[signer.sign(CONTENT, hashes.SHA256()) for _ in range(5 * SESSIONS)])
    assert len(set(signatures)) == 5 * SESSIONS
    for signature in signatures:
        verify(signer.public_key, signature, hashes.SHA256())
    assert 1 <= len(children_of(os.getpid(), "pkcs11_process")) <= SESSIONS


async def test_a_token_that_was_removed_is_used_again_when_it_is_back(token: Token, hsm: SoftHSM) -> None:
    key_id = secrets.token_bytes(16)
    signer = TokenSigner(token, key_id, await generate_in_token(token, "ecdsa-p256", key_id, "label"))
    hsm.remove()
    with pytest.raises(SignerUnavailable):
        await signer.sign(CONTENT, hashes.SHA256())
    with pytest.raises(SignerUnavailable):
        await signer.check()
    hsm.put_back()
    signature = None
    while signature is None:
        # Without an end: the token is back, so a signature comes.
        with contextlib.suppress(SignerUnavailable):
            signature = await signer.sign(CONTENT, hashes.SHA256())
        await asyncio.sleep(0.1)
    verify(signer.public_key, signature, hashes.SHA256())


async def test_a_process_that_was_killed_or_whose_caller_has_gone_is_replaced(token: Token) -> None:
    key_id = secrets.token_bytes(16)
    signer = TokenSigner(token, key_id, await generate_in_token(token, "ecdsa-p256", key_id, "label"))
    for child in children_of(os.getpid(), "pkcs11_process"):
        os.kill(child, signal.SIGKILL)
    verify(signer.public_key, await signer.sign(CONTENT, hashes.SHA256()), hashes.SHA256())
    for child in children_of(os.getpid(), "pkcs11_process"):
        os.kill(child, signal.SIGSTOP)
    asked = asyncio.create_task(signer.sign(b"other", hashes.SHA256()))
    await asyncio.sleep(0.1)  # the question is under way
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    # The answer to the other question is not taken for this one's.
    verify(signer.public_key, await signer.sign(CONTENT, hashes.SHA256()), hashes.SHA256())


@pytest.mark.parametrize("fault", ["pin", "pin file", "endless pin file", "token", "module"])
async def test_what_cannot_be_opened_is_named_to_operators_without_the_pin(hsm: SoftHSM, fault: str) -> None:
    uri, module = hsm.uri, hsm.module
    if fault == "pin":
        hsm.pin_file.write_text("wrong-pin")
    elif fault == "pin file":
        hsm.pin_file.unlink()
    elif fault == "endless pin file":
        hsm.pin_file.unlink()
        hsm.pin_file.symlink_to("/dev/zero")
    elif fault == "token":
        uri = "pkcs11:token=another"
    else:
        module = hsm.folder / "none.so"
    token = Token(module, hsm.pin_file, parse_token_uri(uri))
    with pytest.raises(SignerUnavailable) as refused:
        await TokenSigner(token, b"x", ec.generate_private_key(ec.SECP256R1()).public_key()).check()
    assert EXPECTED[fault] in refused.value.reason
    for text in (refused.value.reason, refused.value.message):
        assert PIN not in text
        assert "wrong-pin" not in text
    # For a moment, nothing is started for nothing.
    with pytest.raises(SignerUnavailable, match="cannot be used now"):
        await token.ask(do="check", id="00")
    await token.close()


@pytest.mark.parametrize("turns", range(3))
async def test_a_cancellation_that_comes_with_the_answer_is_not_lost(
    token: Token, turns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered, answer = list[None](), pkcs11._answer

    async def noted(process: asyncio.subprocess.Process, question: dict[str, str]) -> dict[str, str]:
        found = await answer(process, question)
        answered.append(None)
        return found

    key_id = secrets.token_bytes(16)
    signer = TokenSigner(token, key_id, await generate_in_token(token, "ecdsa-p256", key_id, "label"))
    monkeypatch.setattr(pkcs11, "_answer", noted)
    checking = asyncio.create_task(signer.check())
    while not answered:  # noqa: ASYNC110  an event would be seen later
        await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    if checking.cancel():
        with pytest.raises(asyncio.CancelledError):
            await checking
    else:
        assert checking.done()
