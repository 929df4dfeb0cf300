"""How programs run on a SQLite file: one thread that writes in batches, readers with a snapshot each, copying."""
