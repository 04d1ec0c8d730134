"""An object store of S3's protocol, served by this process on the loopback interface."""

from __future__ import annotations

import logging
import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

BUCKET = "flows"


@dataclass(frozen=True)
class S3:
    """A server with one bucket."""

    port: int

    def url(self, prefix: str) -> str:
        """A store of its own in the bucket."""
        return f"s3://{BUCKET}/{prefix}"

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which the bucket is reached."""
        return {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def serve_s3() -> Iterator[S3]:
    """Serve moto's S3 with one difference: requests are carried out one by one.

    S3 judges the condition of a write and writes in one moment. moto judges first and writes later, so that of two
    writers at once, on two threads of it, both may be told that they were the first.
    """
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app: Any = DomainDispatcherApplication(create_backend_app)
    one = threading.Lock()

    def in_turn(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        with one:
            return list(app(environ, start_response))

    server = make_server("127.0.0.1", 0, in_turn, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        request = urllib.request.Request(f"http://127.0.0.1:{server.server_port}/{BUCKET}", method="PUT")
        urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request).close()
        yield S3(server.server_port)
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
