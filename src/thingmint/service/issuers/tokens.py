"""Owns the tokens (HSMs) that hold keys of issuers: one for each URI, opened at its first use."""

from cryptography.hazmat.primitives import hashes

from thingmint.issuance.keys.key_pairs import PublicKey
from thingmint.issuance.keys.signer import Signer, SignerUnavailable
from thingmint.settings.config import Config, StartRefused
from thingmint.signers.pkcs11 import Token, TokenSigner
from thingmint.signers.token_uri import TokenURI, TokenURIRefused, parse_token_uri


class Tokens:
    """The tokens of a node, whose module and PIN its settings name."""

    def __init__(self, config: Config) -> None:
        self._module = config.pkcs11_module
        self._pin_file = config.pkcs11_pin_file
        self._tokens: dict[tuple[tuple[str, str], ...], Token] = {}

    def token(self, uri: TokenURI) -> Token:
        """Return the token of a URI; raise StartRefused if its module or PIN is not set."""
        if self._module is None or self._pin_file is None:
            raise StartRefused("a key is in a token: give pkcs11_module and pkcs11_pin_file")
        if uri.token not in self._tokens:
            self._tokens[uri.token] = Token(self._module, self._pin_file, TokenURI(uri.token))
        return self._tokens[uri.token]

    def signer(self, text: str, public_key: PublicKey) -> Signer:
        """Return the signer for a key in a token. If the token cannot be used, `sign` raises ServiceUnavailable."""
        try:
            uri = parse_token_uri(text)
            return TokenSigner(self.token(uri), uri.key_id or b"", public_key)
        except (StartRefused, TokenURIRefused):
            return AbsentToken(public_key)

    async def close(self) -> None:
        """Close all tokens."""
        for token in self._tokens.values():
            await token.close()


class AbsentToken:
    """An `issuance.signer.Signer` for a key in a token that this node has no settings for."""

    is_in_process = False

    def __init__(self, public_key: PublicKey) -> None:
        self.public_key = public_key

    async def sign(self, content: bytes, algorithm: hashes.HashAlgorithm) -> bytes:
        """Raise ServiceUnavailable."""
        raise SignerUnavailable("pkcs11_module or pkcs11_pin_file is not set on this node")

    async def check(self) -> None:
        """Raise ServiceUnavailable."""
        raise SignerUnavailable("pkcs11_module or pkcs11_pin_file is not set on this node")
