"""Backups of ledger and journal, and the way back: to the last of them, or to any second between."""
