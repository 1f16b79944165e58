"""Who may say and hear what on the bus: the server's permissions, generated from the registry of subjects.

Guarantees: a service may publish and subscribe what its rows of `SUBJECTS` say, use its own durable consumers and buckets, and
nothing else; answers reach only the inbox of who asked; making a stream that is missing is everybody's, changing, purging or
deleting one is the owner's alone. Never: a permission that no row asks for.
"""

from __future__ import annotations

from dataclasses import dataclass

from titan import subjects
from titan.subjects import BACKLOG_READERS, BUCKETS, CONSUMERS, STREAMS, SUBJECTS

OWNER = "titan"
"""The login that may do everything: servers' set-up, backups, tests. No actor uses it."""
MONITOR = "monitor"
"""Reads what JetStream says about itself; `nats stream ls` of an operator."""
COMMAND = "command"
"""The login of people and of the `titan` command: operator commands only."""

SERVICES: tuple[str, ...] = tuple(sorted({name for spec in SUBJECTS for name in (*spec.publishers, *spec.subscribers)}))
LOGINS: tuple[str, ...] = (*SERVICES, MONITOR)
_API = "$JS.API"
_OWN = {subjects.HEARTBEAT_ALL: subjects.heartbeat, subjects.DLQ_ALL: subjects.dead_letter}


@dataclass(frozen=True, slots=True)
class Access:
    """One login's permissions, as patterns of the server. With `replies` it may also answer what it is asked."""

    name: str
    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    replies: bool


def inbox_of(login: str) -> str:
    """Where the answers to a login's requests come: nobody else may listen there."""
    return f"_INBOX.{login}"


def access_of(login: str) -> Access:
    """The permissions of a service, or of the monitor. Raises ValueError for an unknown login."""
    if login == MONITOR:
        return Access(login, _monitoring(), (f"{inbox_of(login)}.>",), replies=False)
    if login not in SERVICES:
        raise ValueError(f"unknown login {login!r}; known: {', '.join(LOGINS)}")
    publish = {_said_by(login, spec.pattern) for spec in SUBJECTS if login in spec.publishers}
    subscribe = {spec.pattern for spec in SUBJECTS if login in spec.subscribers} | _whole_streams(login)
    answers = any(login in spec.subscribers for spec in SUBJECTS)
    return Access(
        login,
        (*sorted(publish), *_jetstream(login)),
        (*sorted(subscribe), f"{inbox_of(login)}.>"),
        replies=answers,
    )


def _said_by(service: str, pattern: str) -> str:
    """A heartbeat or a dead letter carries its sender's name: nobody speaks in another's."""
    own = _OWN.get(pattern)
    return pattern if own is None else own(service)


def _whole_streams(service: str) -> set[str]:
    """The pattern of a whole stream, for who reads every row of it."""
    found = set()
    for stream in STREAMS:
        for pattern in stream.subjects:
            rows = [spec for spec in SUBJECTS if spec.pattern.startswith(pattern.removesuffix(">"))]
            if rows and all(service in spec.subscribers for spec in rows):
                found.add(pattern)
    return found


def _jetstream(service: str) -> tuple[str, ...]:
    stores = [stream.name for stream in STREAMS]
    allowed = [f"{_API}.INFO"]
    allowed += [f"{_API}.STREAM.{verb}.{name}" for name in stores for verb in ("INFO", "CREATE")]
    for spec in CONSUMERS:
        if spec.service == service:
            whom = f"{spec.stream}.{spec.durable}"
            allowed.append(f"{_API}.CONSUMER.CREATE.{whom}.{spec.filter}")
            allowed += [f"{_API}.CONSUMER.{verb}.{whom}" for verb in ("INFO", "DELETE", "MSG.NEXT")]
            allowed.append(f"$JS.ACK.{whom}.>")
    for bucket in BUCKETS:
        if service in bucket.services:
            store = f"KV_{bucket.name}"
            allowed.append(f"$KV.{bucket.name}.>")
            allowed += [f"{_API}.STREAM.{verb}.{store}" for verb in ("INFO", "CREATE", "MSG.GET")]
            allowed += [f"{_API}.DIRECT.GET.{store}.>", f"{_API}.CONSUMER.CREATE.{store}.>"]
            allowed += [f"{_API}.CONSUMER.DELETE.{store}.>", f"$JS.FC.{store}.>"]
    if service in BACKLOG_READERS:
        allowed += [f"{_API}.CONSUMER.LIST.{name}" for name in stores]
    return tuple(allowed)


def _monitoring() -> tuple[str, ...]:
    streams = tuple(f"{_API}.STREAM.{verb}" for verb in ("NAMES", "LIST", "INFO.*"))
    consumers = tuple(f"{_API}.CONSUMER.{verb}" for verb in ("NAMES.*", "LIST.*", "INFO.*.*"))
    return (f"{_API}.INFO", *streams, *consumers)
