"""PostgreSQL for every actor that needs it: connections, migrations and the reading queries.

Guarantees: passing errors of the database are Transient; the schema moves forward only. Never: truth for an order that
is under way (that is the router's journal), nor a statement between a signal and its order.
"""

from titan.store.migrations import Applied, Migration, Migrator, load_migrations, pending
from titan.store.pool import connect, database_errors, is_passing

__all__ = [
    "Applied",
    "Migration",
    "Migrator",
    "connect",
    "database_errors",
    "is_passing",
    "load_migrations",
    "pending",
]
