"""The other runtime of the cores: a seeded world in virtual time. Never Ray, sockets or wall time."""
