"""An S3 server of its own for the tests, on a free loopback port: moto's, in this process."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Bucket:
    """A bucket of its own, and who may use it.

    Attributes:
        endpoint: address of the server.
        files: the same as a file system, to put things there.
    """

    name: str
    endpoint: str
    key: str
    secret: str
    files: Any = field(repr=False)

    def put(self, name: str, content: bytes) -> None:
        self.files.pipe(f"{self.name}/{name}", content)

    def remove(self, name: str) -> None:
        self.files.rm(f"{self.name}/{name}")


@contextmanager
def server() -> Iterator[str]:
    """Runs the server; gives its address."""
    from moto.server import ThreadedMotoServer

    # A line for every request.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    running = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    try:
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
    finally:
        running.stop()


def bucket(endpoint: str, name: str) -> Bucket:
    """Makes a bucket."""
    import s3fs

    key, secret = "a-key-4711", "sesame-17/+x"
    files = s3fs.S3FileSystem(key=key, secret=secret, endpoint_url=endpoint, skip_instance_cache=True)
    files.mkdir(name)
    return Bucket(name, endpoint, key, secret, files)
