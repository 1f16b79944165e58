"""The other runtime of the cores: a seeded world in virtual time, its faults, and what must hold in it.

Never: Ray, a socket, wall time. A world is a function of its plan: the same seed gives the same trace on every machine.
"""
