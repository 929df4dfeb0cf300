"""Owns the changes of the service's issuers. Each change is one transaction with its audit entry."""
