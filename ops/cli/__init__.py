"""The `titan` command: one verb a thing an operator does, the same exit codes everywhere."""
