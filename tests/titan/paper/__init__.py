"""Tests of the paper venue: its core without sockets, its protocol with real ccxt over loopback."""
