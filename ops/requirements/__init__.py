"""The requirement rows of operations and what proves each: data in TOML, read and checked here.

`rows.toml` has the statements. Every other file has tables by row: `proof = ["KIND:WHERE", ...]` or `waits = "the part that brings it"`.
A proof wins over a wait; the same row proven in two files has both proofs. Kinds: `test:PATH::NAME`, `lint:CHECK`, `file:PATH`,
`doc:PATH` (also `doc:PATH#words that must stand there`).
"""

from ops.requirements.rows import Row, RowError, broken, load, page

__all__ = ["Row", "RowError", "broken", "load", "page"]
