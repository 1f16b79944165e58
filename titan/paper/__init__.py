"""The paper venue: a matching core, its durable ledger and a server that speaks the Bybit v5 protocol.

Guarantees: what the venue acknowledged is in its ledger, also after a kill. Never: a real order, a real exchange account.
"""
