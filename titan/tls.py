"""Certificates of the bus: what the embedded server shows, what every client checks.

Guarantees: with them on, both sides prove themselves before a byte of NATS is spoken (no downgrade to plain text can be
talked into); files that do not fit are refused at the start, with the reason. Never: a certificate taken on trust.
"""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from titan.errors import ConfigError


class TlsFiles(BaseModel):
    """Paths of PEM files: the authority that signed the other side, and this side's own certificate with its key."""

    model_config = ConfigDict(frozen=True)

    ca: Path
    cert: Path
    key: Path

    def client(self) -> ssl.SSLContext:
        """What a client of the bus connects with. Raises ConfigError for files that can't be used."""
        try:
            context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH, cafile=str(self.ca))
            context.load_cert_chain(self.cert, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"the certificates of the bus can't be used ({error}): TITAN_NATS_TLS_CA={self.ca}, "
                f"TITAN_NATS_TLS_CERT={self.cert}, TITAN_NATS_TLS_KEY={self.key}"
            ) from error
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        return context


def transport(files: TlsFiles | None) -> dict[str, Any]:
    """How a client connects: plain without files; else the handshake comes before the server's first word.

    So nobody in between can talk it into plain text. Raises ConfigError for files that can't be used.
    """
    return {} if files is None else {"tls": files.client(), "tls_handshake_first": True}


def tls_files(ca: str, cert: str, key: str) -> TlsFiles | None:
    """The files of three settings; None when all are empty. Raises ConfigError when one lacks or does not fit the others."""
    given = {"TITAN_NATS_TLS_CA": ca, "TITAN_NATS_TLS_CERT": cert, "TITAN_NATS_TLS_KEY": key}
    if not any(given.values()):
        return None
    missing = [name for name, value in given.items() if not value]
    if missing:
        raise ConfigError(f"{', '.join(missing)} is empty: the bus speaks TLS with all three files or with none")
    files = TlsFiles(ca=Path(ca).absolute(), cert=Path(cert).absolute(), key=Path(key).absolute())
    files.client()
    return files
