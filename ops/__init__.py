"""What operators run: the titan command, benches, bootstrap and deployment files. Never trading logic."""
