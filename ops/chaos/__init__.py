"""Chaos campaigns: real processes, real servers, the real tree, and everything that can go wrong with them."""
