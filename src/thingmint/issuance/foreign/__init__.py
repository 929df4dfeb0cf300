"""Owns certificates that other CAs have signed: how they are parsed, checked and identified."""
