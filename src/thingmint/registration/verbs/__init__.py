"""The verbs of a transaction, a Protocol for each noun; `registration.ports` puts them together."""
