"""Execution keeps the books: the ledger in PostgreSQL, the equity curve, and the comparison with venue and journal.

Nothing is imported here, so that a reader of the pure modules does not pay for servers and clients.
"""
