"""Issues devices from a list: each gets key, certificate, thing and policies in one transaction, exactly once."""
