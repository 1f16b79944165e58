"""The production bus: its configuration, generated from the registry of subjects."""
