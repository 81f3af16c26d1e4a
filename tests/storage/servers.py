"""An S3 server as a process on loopback, and what puts bundles there."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow.fs as fs
import pytest

ROOT = Path(__file__).resolve().parents[2]
MOTO = ROOT / "build" / "s3" / "bin" / "moto_server"
START_TIMEOUT_S = 60
# What every process of a test needs to find the server; the credentials are those of nobody.
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "nobody",
    "AWS_SECRET_ACCESS_KEY": "a-secret-of-nobody",
    "AWS_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers."""

    port: int
    process: subprocess.Popen[str]

    def address(self, path: str) -> str:
        """Of a bucket and a prefix, for this server."""
        where = quote(f"127.0.0.1:{self.port}", safe="")
        return f"s3://{path}?scheme=http&endpoint_override={where}"

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which plain ``s3://`` addresses lead here."""
        return ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://127.0.0.1:{self.port}"}

    def stop(self) -> None:
        """End it, as a storage that goes away does."""
        self.process.terminate()
        self.process.wait(10)


@contextmanager
def s3_server(port: int = 0) -> Iterator[Server]:
    """A server with nothing in it; a skip where there is none to start."""
    if not MOTO.exists():
        pytest.skip("build/s3 has no moto_server; make setup installs it")
    process = subprocess.Popen(
        [str(MOTO), "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"NO_COLOR": "1", "PYTHONUNBUFFERED": "1"},
    )
    try:
        yield Server(_port(process), process)
    finally:
        process.terminate()
        process.wait(10)
        process.stderr.close()  # type: ignore[union-attr]


def _port(process: subprocess.Popen[str]) -> int:
    give_up = threading.Timer(START_TIMEOUT_S, process.kill)
    give_up.start()
    for line in process.stderr or ():
        if found := re.search(r"Running on http://127\.0\.0\.1:(\d+)", line):
            give_up.cancel()
            # Nobody reads on: a pipe that is full would stop the server.
            threading.Thread(target=_read_on, args=(process,), daemon=True).start()
            return int(found[1])
    raise RuntimeError("the S3 server did not start")


def _read_on(process: subprocess.Popen[str]) -> None:
    try:
        for _ in process.stderr or ():
            pass
    except ValueError:  # closed
        pass


class Store:
    """What a test does to the storage."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.files, self.base = fs.FileSystem.from_uri(address)

    def at(self, path: str) -> str:
        """The address of something in it."""
        where, question, options = self.address.partition("?")
        return f"{where}/{path}{question}{options}"

    def put(self, path: str, content: bytes) -> None:
        """Write an object."""
        full = f"{self.base}/{path}"
        if isinstance(self.files, fs.LocalFileSystem):
            self.files.create_dir(os.path.dirname(full))
        with self.files.open_output_stream(full) as stream:
            stream.write(content)

    def put_bundle(self, folder: Path, *without: str, **other: bytes) -> None:
        """Write the files of NAME/VERSION but some, and others in place of theirs by stem."""
        for file in sorted(folder.iterdir(), key=lambda path: path.name == "manifest.json"):
            if file.name not in without:
                content = other.get(file.stem, file.read_bytes())
                self.put(f"{folder.parent.name}/{folder.name}/{file.name}", content)

    def delete(self, path: str) -> None:
        """Delete an object, or all of a folder."""
        info = self.files.get_file_info(f"{self.base}/{path}")
        (self.files.delete_file if info.is_file else self.files.delete_dir)(info.path)

    def names(self) -> set[str]:
        """All that is there."""
        found: list[Any] = self.files.get_file_info(
            fs.FileSelector(self.base, allow_not_found=True, recursive=True)
        )
        return {i.path.removeprefix(f"{self.base}/") for i in found if i.is_file}
