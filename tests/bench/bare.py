"""The other limit: the same graph behind a bare ASGI application, run on the event loop.

``python -m tests.bench.bare GRAPH PORT`` serves it with uvicorn, uvloop and httptools.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import uvicorn

from tests.bench.bodies import MODEL
from tests.bench.in_process import one_thread

_SPLIT = b"inference-header-content-length"
Message = dict[str, Any]


class Bare:
    """Answers every request as inference: tensors in JSON, or behind it.

    Args:
        graph: ONNX file.
    """

    def __init__(self, graph: Path) -> None:
        self._session = one_thread(graph)

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """See the ASGI specification."""
        content = await _content(receive)
        split = dict(scope["headers"]).get(_SPLIT)
        if split is None:
            answer, headers = self._json(content)
        else:
            answer, headers = self._binary(content, int(split))
        headers = [*headers, (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _json(self, content: bytes) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        tensor = orjson.loads(content)["inputs"][0]
        told = self._run(np.array(tensor["data"], np.float32).reshape(tensor["shape"]))
        answer = orjson.dumps(_answer(told, {"data": told}), option=orjson.OPT_SERIALIZE_NUMPY)
        return answer, [(b"content-type", b"application/json")]

    def _binary(self, content: bytes, split: int) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        tensor = orjson.loads(memoryview(content)[:split])["inputs"][0]
        x = np.frombuffer(content, "<f4", offset=split).reshape(tensor["shape"])
        told = self._run(x)
        sizes = {"parameters": {"binary_data_size": told.nbytes}}
        head = orjson.dumps(_answer(told, sizes))
        kind = (b"content-type", b"application/octet-stream")
        return head + told.tobytes(), [kind, (_SPLIT, b"%d" % len(head))]

    def _run(self, x: np.ndarray) -> np.ndarray:
        told: np.ndarray = self._session.run(["log_prob"], {"x": x})[0]
        return told


def _answer(told: np.ndarray, values: Message) -> Message:
    tensor = {"name": "log_prob", "datatype": "FP32", "shape": list(told.shape)}
    return {"model_name": MODEL, "outputs": [tensor | values]}


async def _content(receive: Callable[[], Awaitable[Message]]) -> bytes:
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message["body"])
        more = message["more_body"]
    return b"".join(parts)


if __name__ == "__main__":
    uvicorn.run(
        Bare(Path(sys.argv[1])),
        port=int(sys.argv[2]),
        loop="uvloop",
        http="httptools",
        lifespan="off",
        access_log=False,
        log_level="warning",
    )
