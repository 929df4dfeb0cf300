"""What the nodes of one PostgreSQL database keep of themselves; nothing here is read or written on SQLite."""
