"""PostgreSQL for every actor that needs it: connections, migrations and the reading queries.

Guarantees: passing errors of the database are Transient; the schema moves forward only. Never: truth for an order that
is under way (that is the router's journal), nor a statement between a signal and its order.
"""

from titan.store.migrations import MIGRATIONS, Applied, Migration, Migrator, load_migrations, pending
from titan.store.pool import connect, database_errors, is_passing
from titan.store.rights import Done, give_rights, make_roles, rights_missing, set_up

__all__ = [
    "MIGRATIONS",
    "Applied",
    "Done",
    "Migration",
    "Migrator",
    "connect",
    "database_errors",
    "give_rights",
    "is_passing",
    "load_migrations",
    "make_roles",
    "pending",
    "rights_missing",
    "set_up",
]
