"""Owns what the service needs of its host: sockets, process hardening, logs and metrics."""
