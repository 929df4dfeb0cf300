"""Owns the tables: for each noun one module with its statements, its rows and its functions, one text for both engines.

A function yields statements and returns what the rows say. It is a step of a program: it reads what the transaction has
written before, and the store that runs the program decides when it is durable. A function's name is used in one table
only. Modules that call it import the table under the name ``<noun>_table``.

Parameters first appear in the order of their numbers: SQLite binds them by appearance. Where the engines need different
words, the text has a token: see `records.tokens`.
"""
