"""What can go wrong with a journal, named for the action it needs."""

from __future__ import annotations

from titan.errors import Fatal, TitanError


class JournalFailed(TitanError):
    """The journal can't be read or written (disk full, read-only, I/O error): open nothing until it can."""


class JournalCorrupt(Fatal):
    """The journal's content is not what was written: stop, restore a backup, let the venue fill the rest."""


class JournalBusy(Fatal):
    """Another process holds the journal: there must be one router."""
