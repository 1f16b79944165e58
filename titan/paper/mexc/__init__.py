"""The paper venue's third tongue: MEXC futures over REST and WebSocket, on the same pure core."""
