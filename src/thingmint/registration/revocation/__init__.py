"""Revocation that others can see: lists that are kept up to date, and answers about single certificates."""
