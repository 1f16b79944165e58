"""Tools that build and check the house: set-up, lint, generated code, lock files."""
