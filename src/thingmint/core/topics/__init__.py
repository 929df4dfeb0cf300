"""Owns the grammar of topics and topic filters, and the patterns of the topics that AWS IoT reserves."""
