"""The actors: a folder each, a pure core in a thin shell. No actor imports another."""
