"""Owns the encodings DER and PEM, without the meaning of their content."""
