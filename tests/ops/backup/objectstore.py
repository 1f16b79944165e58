"""A small object store that speaks as much S3 as Arrow's client asks for: objects, uploads in parts, listings, one access key."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape


class Store:
    """What lies in the store, by bucket and key. `spoil` makes every later upload lose its last byte."""

    def __init__(self, access_key: str) -> None:
        self.access_key = access_key
        self.objects: dict[str, bytes] = {}
        self.parts: dict[str, dict[int, bytes]] = {}
        self.spoil = False
        self.endpoint = ""


def unwrapped(raw: bytes) -> bytes:
    """The content of a body that is signed in chunks: sizes, chunks and a trailer with a checksum."""
    whole, at = b"", 0
    while True:
        end = raw.index(b"\r\n", at)
        size = int(raw[at:end].split(b";")[0], 16)
        if size == 0:
            return whole
        whole += raw[end + 2 : end + 2 + size]
        at = end + 2 + size + 2


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_: object) -> None:
        return

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            raw = b"".join(iter(self._chunk, b""))
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        streamed = self.headers.get("x-amz-content-sha256", "").startswith("STREAMING")
        return unwrapped(raw) if streamed else raw

    def _chunk(self) -> bytes:
        size = int(self.rfile.readline().split(b";")[0], 16)
        chunk = self.rfile.read(size)
        self.rfile.readline()
        return chunk

    def _say(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        if "Content_Length" not in headers:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _refused(self) -> bool:
        if f"Credential={self.store.access_key}/" in self.headers.get("Authorization", ""):
            return False
        self._body()
        self._say(403, b"<Error><Code>InvalidAccessKeyId</Code><Message>no such key</Message></Error>")
        return True

    def do_PUT(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        query, body = parse_qs(parts.query), self._body()
        if self.store.spoil:
            body = body[:-1]
        if "uploadId" in query:
            self.store.parts[query["uploadId"][0]][int(query["partNumber"][0])] = body
        else:
            self.store.objects[unquote(parts.path)] = body
        self._say(200, ETag='"etag"')

    def do_POST(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        self._body()
        query = parse_qs(parts.query, keep_blank_values=True)
        path = unquote(parts.path)
        if "uploads" in query:
            self.store.parts[path] = {}
            words = (
                f"<InitiateMultipartUploadResult><UploadId>{escape(path)}</UploadId></InitiateMultipartUploadResult>"
            )
            self._say(200, words.encode(), Content_Type="application/xml")
            return
        taken = self.store.parts.pop(query["uploadId"][0])
        self.store.objects[path] = b"".join(taken[number] for number in sorted(taken))
        words = "<CompleteMultipartUploadResult><ETag>etag</ETag></CompleteMultipartUploadResult>"
        self._say(200, words.encode(), Content_Type="application/xml")

    def do_HEAD(self) -> None:
        if self._refused():
            return
        held = self.store.objects.get(unquote(urlsplit(self.path).path))
        if held is None:
            self._say(404)
        else:
            self._say(200, Content_Length=str(len(held)), ETag='"etag"', Last_Modified="Mon, 01 Jan 2024 00:00:00 GMT")

    def do_GET(self) -> None:
        if self._refused():
            return
        parts = urlsplit(self.path)
        query = parse_qs(parts.query)
        if "list-type" in query:
            self._list(unquote(parts.path).rstrip("/"), query.get("prefix", [""])[0])
            return
        held = self.store.objects.get(unquote(parts.path))
        if held is None:
            self._say(404, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        wanted = self.headers.get("Range")
        if wanted:
            first, _, last = wanted.removeprefix("bytes=").partition("-")
            end = min(int(last) if last else len(held) - 1, len(held) - 1)
            span = f"bytes {first}-{end}/{len(held)}"
            self._say(206, held[int(first) : end + 1], Content_Range=span, ETag='"etag"')
            return
        self._say(200, held, ETag='"etag"')

    def _list(self, bucket: str, prefix: str) -> None:
        keys = [path.removeprefix(f"{bucket}/") for path in self.store.objects if path.startswith(f"{bucket}/{prefix}")]
        direct = sorted(key for key in keys if "/" not in key.removeprefix(prefix))
        folders = sorted({prefix + key.removeprefix(prefix).split("/")[0] + "/" for key in keys} - set(direct))
        rows = [
            f"<Contents><Key>{escape(key)}</Key><Size>{len(self.store.objects[f'{bucket}/{key}'])}</Size>"
            "<LastModified>2024-01-01T00:00:00.000Z</LastModified></Contents>"
            for key in direct
        ]
        rows += [
            f"<CommonPrefixes><Prefix>{escape(each)}</Prefix></CommonPrefixes>"
            for each in folders
            if each.rstrip("/") not in direct and not any(each == f"{key}/" for key in direct)
        ]
        words = (
            f"<ListBucketResult><IsTruncated>false</IsTruncated><KeyCount>{len(rows)}</KeyCount>"
            f"{''.join(rows)}</ListBucketResult>"
        )
        self._say(200, words.encode(), Content_Type="application/xml")


@contextmanager
def object_store(access_key: str) -> Iterator[Store]:
    """A store on a free loopback port."""
    store = Store(access_key)
    handler = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    store.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
