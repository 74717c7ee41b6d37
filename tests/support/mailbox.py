"""A webhook, a mail server and a dead end on loopback, for what is told to people."""

import json
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email import message_from_bytes
from email.header import decode_header, make_header
from typing import Any

import pytest

SECRET = "Tok3n-of-the-webhook"


class Mailbox:
    """What has arrived at the webhook and at the mail server, as title and text."""

    def __init__(self) -> None:
        self.posted: list[tuple[str, str]] = []
        self.mailed: list[tuple[str, str]] = []
        self.urls = ""

    def kinds(self) -> list[str]:
        """Return the first word of each title that the webhook took, after the source's name."""
        return [title.split(": ")[1].split(" ")[0].strip(",") for title, _ in self.posted]


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Give a mailbox whose `urls` are those of a webhook and of a mail server."""
    box = Mailbox()

    class Webhook(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                head += self.rfile.readline()
            length = next(
                int(line.split(b":")[1])
                for line in head.splitlines()
                if line.lower().startswith(b"content-length")
            )
            content = json.loads(self.rfile.read(length))
            box.posted.append((content["title"], content["message"]))
            self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    class Mail(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.wfile.write(b"220 loopback\r\n")
            while line := self.rfile.readline():
                word = line.strip().upper()
                if word == b"DATA":
                    self.wfile.write(b"354 go on\r\n")
                    content = b""
                    while (part := self.rfile.readline()) != b".\r\n":
                        content += part
                    box.mailed.append(_read_mail(content))
                self.wfile.write(b"221 bye\r\n" if word == b"QUIT" else b"250 OK\r\n")
                if word == b"QUIT":
                    return

    with _serving(Webhook) as web, _serving(Mail) as mail:
        box.urls = (
            f"json://127.0.0.1:{web}/{SECRET} "
            f"mailto://127.0.0.1:{mail}?from=winback@example.org&to=people@example.org"
        )
        yield box


@contextmanager
def dead_end() -> Iterator[str]:
    """Give the URL of an address that takes a connection and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"json://user:{SECRET}@127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def _serving(handler: Any) -> Iterator[int]:
    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


def _read_mail(content: bytes) -> tuple[str, str]:
    mail = message_from_bytes(content)
    parts = [part for part in mail.walk() if part.get_content_type() == "text/plain"]
    text = parts[0].get_payload(decode=True).decode() if parts else ""
    return str(make_header(decode_header(mail["Subject"]))), text


@pytest.fixture
def box(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    """Give a mailbox to which notices go."""
    with mailbox() as one:
        monkeypatch.setenv("WINBACK_NOTIFY_URLS", one.urls)
        yield one
