"""Owns signing with an issuer's private key, for each place in which the key can be: a file or a PKCS#11 token."""
