"""What a user of Ray Serve would write: FastAPI, pydantic, one replica.

``python -m tests.bench.plain_ray GRAPH PORT`` serves it on 127.0.0.1.
"""

# No "from __future__ import annotations": FastAPI reads the types of the method's arguments.
import signal
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import ray
from fastapi import FastAPI
from pydantic import BaseModel
from ray import serve

from tests.bench.in_process import one_thread

MAX_ONGOING_REQUESTS = 200
app = FastAPI()


class Request(BaseModel):
    x: list[list[float]]


class Answer(BaseModel):
    log_prob: list[float]


@serve.deployment(max_ongoing_requests=MAX_ONGOING_REQUESTS)
@serve.ingress(app)
class Flow:
    def __init__(self, graph: str) -> None:
        self._session = one_thread(Path(graph))

    @app.post("/log_prob")
    def log_prob(self, request: Request) -> Answer:
        x = np.array(request.x, np.float32)
        return Answer(log_prob=self._session.run(["log_prob"], {"x": x})[0].tolist())


def main(graph: str, port: int) -> None:
    """Serve until SIGTERM."""
    ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": port})
    serve.run(Flow.bind(graph))
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with suppress(KeyboardInterrupt):
        signal.pause()
    serve.shutdown()
    ray.shutdown()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
