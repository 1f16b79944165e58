"""Loki and Vector: what becomes of the actors' JSON lines.

Guarantees: the labels that panels select by are exactly those that Vector sets; what no line of Titan's is kept as text, never
dropped. Never: the engine's socket or its containers' files (Vector reads the home's log folder, as Titan's own user).
"""

from __future__ import annotations

from typing import Any

LABELS = ("job", "actor", "level")
JOB = "titan"
LOKI_PORT = 3100
FOLDER = "/var/lib/titan/logs"
KEPT = "720h"
PROGRAM = """\
line, problem = parse_json(string!(.message))
if problem == null && is_object(line) {
  . = merge(., object!(line))
  del(.message)
}
if !exists(.actor) {
  .actor = replace(string(.file) ?? "unknown", r'^.*/([a-z_-]+)[^/]*$', "$1")
}
.level = downcase(string(.level) ?? "info")
stamp, problem = parse_timestamp(string(.ts) ?? "", "%+")
if problem == null {
  .timestamp = stamp
}
del(.source_type)
del(.host)
"""
"""Vector's own language: one JSON line of an actor becomes its fields; a line that is none stays a message of its file's actor."""


def vector() -> dict[str, Any]:
    """What Vector is told: read the actors' files, take the lines apart, send them to Loki.

    The files themselves are the buffer while Loki is away. What Vector has read is forgotten with its container; it reads the
    last day again then, and Loki keeps one of two equal lines.
    """
    return {
        "data_dir": "/var/lib/vector",
        "api": {"enabled": True, "address": "127.0.0.1:8686"},
        "sources": {
            "titan": {
                "type": "file",
                "include": [f"{FOLDER}/*.jsonl", f"{FOLDER}/*.log"],
                "read_from": "beginning",
                "ignore_older_secs": 86_400,
                "max_line_bytes": 262_144,
            }
        },
        "transforms": {"parsed": {"type": "remap", "inputs": ["titan"], "source": PROGRAM}},
        "sinks": {
            "loki": {
                "type": "loki",
                "inputs": ["parsed"],
                "endpoint": f"http://loki:{LOKI_PORT}",
                "encoding": {"codec": "json"},
                "labels": {"job": JOB, "actor": "{{ actor }}", "level": "{{ level }}"},
                "out_of_order_action": "accept",
                "buffer": {"type": "memory", "max_events": 5_000, "when_full": "block"},
            }
        },
    }


def loki() -> dict[str, Any]:
    """One Loki on one disk: thirty days, eight megabytes a second at most, nothing older than a week taken in."""
    return {
        "auth_enabled": False,
        "analytics": {"reporting_enabled": False},
        "server": {"http_listen_port": LOKI_PORT, "log_level": "warn"},
        "common": {
            "instance_addr": "127.0.0.1",
            "path_prefix": "/loki",
            "replication_factor": 1,
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": {"filesystem": {"chunks_directory": "/loki/chunks", "rules_directory": "/loki/rules"}},
        },
        "schema_config": {
            "configs": [
                {
                    "from": "2024-01-01",
                    "store": "tsdb",
                    "object_store": "filesystem",
                    "schema": "v13",
                    "index": {"prefix": "index_", "period": "24h"},
                }
            ]
        },
        "limits_config": {
            "retention_period": KEPT,
            "ingestion_rate_mb": 8,
            "ingestion_burst_size_mb": 16,
            "reject_old_samples": True,
            "reject_old_samples_max_age": "168h",
            "max_label_names_per_series": len(LABELS) + 2,
        },
        "compactor": {
            "working_directory": "/loki/compactor",
            "retention_enabled": True,
            "delete_request_store": "filesystem",
        },
    }
