"""A server that answers as a hub would, or as an attack has it: right, or otherwise."""

from __future__ import annotations

import hashlib
import http.server
import json
import socketserver
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

COMMIT = "0123456789abcdef0123456789abcdef01234567"
WEIGHTS = (2).to_bytes(8, "little") + b"{}" + bytes(90_000)
FILES = {"config.json": b'{"model_type": "llama"}', "tokenizer.json": b"{ }", "model.safetensors": WEIGHTS}


def git(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def listing(**changes: dict[str, Any]) -> dict[str, Any]:
    """What the hub says of FILES, with changes to single files."""
    siblings = []
    for name, content in FILES.items():
        large = {"lfs": {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}}
        file = {"rfilename": name, "size": len(content), "blobId": git(content)}
        siblings.append(file | (large if name.endswith("safetensors") else {}) | changes.get(name.split(".")[0], {}))
    return {"id": "org/model", "sha": COMMIT, "siblings": siblings}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        name = unquote(urlsplit(self.path).path).partition("/resolve/")[2].partition("/")[2]
        self.server.requests.append((self.path, {key.lower(): value for key, value in self.headers.items()}))
        try:
            self.server.attack(self, name)
        except OSError:  # Who asked has gone.
            self.close_connection = True

    def do_HEAD(self) -> None:
        self.answer(b"", length=0)

    def answer(self, body: bytes, code: int = 200, length: int | None = None, **headers: Any) -> None:
        self.send_response(code)
        for header, value in headers.items():
            self.send_header(header.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def right(self, name: str, **headers: Any) -> None:
        if name:
            self.answer(FILES[name], ETag=f'"{git(FILES[name])}"', X_Repo_Commit=COMMIT, **headers)
        else:
            self.answer(json.dumps(listing()).encode(), **headers)

    def log_message(self, *_: object) -> None:
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    requests: list[tuple[str, dict[str, str]]]
    attack: Callable[[Handler, str], None]

    def handle_error(self, *_: object) -> None:
        pass
