"""Owns encodings: DER and PEM, without the meaning of what they hold."""
