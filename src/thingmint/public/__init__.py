"""What anyone may fetch without a key: issuers' certificates, revocation lists, OCSP. An ASGI application."""
