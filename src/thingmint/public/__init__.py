"""What anyone may fetch without the API: certificates of issuers, revocation lists, OCSP, and the pages of the log."""
