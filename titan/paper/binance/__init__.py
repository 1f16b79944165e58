"""The paper venue's second tongue: Binance USDⓈ-M futures over REST and WebSocket, on the same pure core."""
