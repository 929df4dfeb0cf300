"""The tables: for each noun one module with its statements, its rows and its verbs, one text for both engines.

Parameters first appear in the order of their numbers: SQLite binds them by appearance.
"""
