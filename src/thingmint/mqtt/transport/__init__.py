"""Owns the listening ports of the gateway: accepting, TLS and bytes."""
