"""Owns the changes of the service's issuers, each in one transaction with its audit entry."""
