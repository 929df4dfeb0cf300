"""Owns the built-in broker: sessions, subscriptions, retained messages and wills in memory."""
