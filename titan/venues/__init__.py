"""Venues as the router sees them: one protocol (`base`), one adapter an exchange, built on ccxt.

Nothing is imported here, so that a reader of the protocol does not pay for ccxt.
"""
