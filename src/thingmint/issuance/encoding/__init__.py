"""Owns the encodings DER and PEM. Does not interpret their content."""
