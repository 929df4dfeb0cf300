"""The root signs with a key that is read for each signature; without its key it signs nothing."""

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from tests.support.clients.signing import SettableClock

from thingmint.core.errors import ServiceUnavailable
from thingmint.data_directory.authorities import AuthorityFiles
from thingmint.data_directory.certificate_files import key_path
from thingmint.data_directory.files import make_directory
from thingmint.issuance.profiles.serial_number import random_serial_number

HASH = hashes.SHA256()


def files_of(data_dir: Path, key_type: str, passphrase: bytes | None) -> AuthorityFiles:
    make_directory(data_dir)
    clock = SettableClock(datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC))
    return AuthorityFiles(data_dir, passphrase, key_type, lambda: random_serial_number(os.urandom), clock.now, True)


@pytest.mark.parametrize("passphrase", [None, b"a long passphrase"])
@pytest.mark.parametrize("key_type", ["ecdsa-p256", "rsa-2048"])
async def test_the_root_signs(tmp_path: Path, key_type: str, passphrase: bytes | None) -> None:
    authorities = files_of(tmp_path / "data", key_type, passphrase).open()
    signer, key = authorities.root_signer, authorities.root.public_key()
    assert signer is not None
    assert signer.public_key == key

    signature = await signer.sign(b"content", HASH)

    if isinstance(key, rsa.RSAPublicKey):
        key.verify(signature, b"content", padding.PKCS1v15(), HASH)
    else:
        assert isinstance(key, ec.EllipticCurvePublicKey)
        key.verify(signature, b"content", ec.ECDSA(HASH))


async def test_a_key_that_is_moved_away_signs_nothing_from_then_on(tmp_path: Path) -> None:
    files = files_of(tmp_path / "data", "ecdsa-p256", None)
    signer = files.open().root_signer
    assert signer is not None
    key_path(tmp_path / "data", "root-ca").unlink()

    with pytest.raises(ServiceUnavailable, match="root's private key"):
        await signer.sign(b"content", HASH)
    assert files.open().root_signer is None
