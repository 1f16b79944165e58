"""The acceptance cards of venue adapters: numbered event sequences with pass criteria, run against every adapter."""
