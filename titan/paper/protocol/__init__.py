"""Bybit v5 on the wire: signatures, parameters, encodings, REST and WebSocket endpoints."""
