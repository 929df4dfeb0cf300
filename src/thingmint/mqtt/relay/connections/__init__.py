"""Owns one connection to an existing broker: bytes in both directions, requests, deliveries and time limits."""
