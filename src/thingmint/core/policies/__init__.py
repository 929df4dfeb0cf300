"""Owns the policy language: documents, statements, patterns, conditions, and how requests are decided."""
