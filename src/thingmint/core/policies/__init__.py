"""Owns the policy language: documents, statements, patterns, conditions, and the decision about a request."""
