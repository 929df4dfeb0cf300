"""What anyone may fetch without a key: certificates of issuers, revocation lists, and status responses (OCSP)."""
