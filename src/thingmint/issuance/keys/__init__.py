"""Owns keys: key pairs, weak keys, the stored form of the service's own keys, and signers."""
