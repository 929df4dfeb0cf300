"""How the service's issuers change: each change is one transaction with its audit entry."""
