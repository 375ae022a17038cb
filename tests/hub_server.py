"""A server on loopback that speaks the Hub's part of HTTP, and a proxy before it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class Hub:
    """One repository's files, and the troubles of the network.

    ``cuts`` breaks the connection after so many bytes, once for each number; ``requests``
    are the methods, paths and Range headers that came, ``through`` those of the proxy,
    ``tokens`` their Authorization headers. ``storage`` is another server that the files are on,
    as the Hub's large ones are; ``extra`` is sent after a file's end.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.cuts: list[int] = []
        self.requests: list[tuple[str, str, str]] = []
        self.through: list[str] = []
        self.tokens: list[str] = []
        self.wrong_hash = False
        self.extra = b""
        self.storage: str | None = None
        self.url = ""

    def size(self, data: bytes) -> int:
        return len(data)

    def etag(self, data: bytes) -> str:
        return hashlib.sha256(data).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_HEAD(self) -> None:
        self.answer(body=False)

    def do_GET(self) -> None:
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        hub, split = self.hub, urlsplit(self.path)
        if split.netloc:  # an absolute address: this request is to a proxy
            hub.through.append(self.path)
        asked = self.headers.get("Range", "")
        hub.requests.append((self.command, split.path, asked))
        hub.tokens.append(self.headers.get("Authorization", ""))
        data = hub.files.get(split.path)
        if data is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if hub.storage is not None:
            self.redirect(hub.storage + split.path, data)
            return
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")
        self.send_header("X-Repo-Commit", "0" * 40)
        self.send_header("ETag", f'"{hub.etag(data)}"')
        self.send_header("X-Linked-Size", str(hub.size(data)))
        self.send_header("Content-Length", str(len(data) - start + len(hub.extra)))
        self.end_headers()
        if not body:
            return
        sent = data[start:]
        if hub.cuts:
            self.wfile.write(sent[: hub.cuts.pop(0)])
            self.wfile.flush()
            self.close_connection = True
            self.connection.close()
            return
        self.wfile.write(sent[:-1] + bytes([sent[-1] ^ hub.wrong_hash]) + hub.extra)

    def redirect(self, url: str, data: bytes) -> None:
        self.send_response(302)
        self.send_header("Location", url)
        self.send_header("X-Linked-ETag", f'"{self.hub.etag(data)}"')
        self.send_header("X-Linked-Size", str(self.hub.size(data)))
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve(hub: Hub) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfHub", (Handler,), {"hub": hub}))
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
