"""Owns CA certificates of the service: root, issuing CAs, their chains and their requests."""
