"""The verbs of a transaction, a Protocol for each noun; `registration.kernel.ports` puts them together."""
