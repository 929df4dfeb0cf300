"""Owns Enrollment over Secure Transport (RFC 7030, RFC 8951): paths, payloads and callers; `registration` issues."""
