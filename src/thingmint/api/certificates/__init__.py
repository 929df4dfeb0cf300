"""Owns the operations on certificates: device certificates, own CAs, providers and transfers."""
