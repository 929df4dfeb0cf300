"""Owns the tables: for each noun one module with its SQL statements, rows and functions, the same for both engines.

A function yields statements and returns values made from the rows. It is a step of a program: it sees the earlier
writes of its transaction, and the store that runs the program decides when they are durable. Names of functions are
unique among tables. Callers import a table under the name ``<noun>_table``.

Parameters must appear in the order of their numbers, because SQLite binds them by appearance. If the engines need
different SQL, the statement has a token: see `records.tokens`.
"""
