"""Clients that send as fast as they are answered."""

from __future__ import annotations

import http.client
import json
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from tests.bundles import ordinary_rows


@dataclass(frozen=True, slots=True)
class Sent:
    """One request; ``status`` is None where the connection broke."""

    begun: float
    ended: float
    status: int | None


class Load:
    """Closed-loop clients, each with one connection, until stopped or refused."""

    def __init__(self, url: str, clients: int, rows: int) -> None:
        self._address = urlsplit(url).netloc
        self._body = json.dumps({"rows": ordinary_rows(rows).tolist()})
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._client) for _ in range(clients)]
        self.sent: list[Sent] = []

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        while not self._stop.is_set():
            begun = time.monotonic()
            try:
                status = self._ask(connection)
            except ConnectionRefusedError:
                break
            except (OSError, http.client.HTTPException):
                status = None
                connection.close()
            self.sent.append(Sent(begun, time.monotonic(), status))
        connection.close()

    def _ask(self, connection: http.client.HTTPConnection) -> int:
        headers = {"content-type": "application/json"}
        connection.request("POST", "/v1/models/gauss/log_prob", self._body, headers)
        response = connection.getresponse()
        response.read()
        return response.status
