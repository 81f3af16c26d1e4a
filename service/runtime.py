"""onnxruntime: the only file that knows it.

Sessions are single-threaded; parallel work comes from several sessions, each used by one thread at
a time. CUDA is either really in use or refused: onnxruntime alone would fall back silently.
"""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from queue import SimpleQueue
from threading import Timer
from typing import Literal

import numpy as np
import onnxruntime
import onnxruntime.capi.onnxruntime_pybind11_state as native
from numpy.typing import NDArray

from exported.errors import BundleInvalidError
from exported.manifest import Graph
from service.errors import StartError

log = logging.getLogger(__name__)

Arrays = Mapping[str, NDArray[np.generic]]
Provider = Literal["cpu", "cuda"]

VERSION: str = onnxruntime.__version__
_DTYPES: Mapping[str, np.dtype[np.generic]] = {
    "FP32": np.dtype(np.float32),
    "FP64": np.dtype(np.float64),
    "INT64": np.dtype(np.int64),
}
_EXECUTION = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
_REFUSED = (
    native.Fail,
    native.InvalidArgument,
    native.InvalidGraph,
    native.InvalidProtobuf,
    native.NotImplemented,
    native.RuntimeException,
)
# Seconds in which golden rows must replay: a few of them take milliseconds.
REPLAY_TIMEOUT_S = 30.0
_ERRORS_ONLY = 3
_FATAL_ONLY = 4
# An ONNX model of one Identity node: what a provider must run before it is believed.
_PROBE = bytes.fromhex(
    "080912003a370a100a017812017922084964656e746974791201675a0f0a0178120a0a0808011204"
    "0a020801620f0a0179120a0a08080112040a02080142040a001014"
)


@dataclass(frozen=True)
class Sessions:
    """Loaded copies of one graph, handed to one thread at a time.

    Attributes:
        graph: The manifest's description.
        idle: Sessions that nobody uses now, at first all of them.
        count: How many there are.
    """

    graph: Graph
    idle: SimpleQueue[onnxruntime.InferenceSession]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", self.idle.qsize())

    @cached_property
    def outputs(self) -> list[str]:
        """Names of the outputs, in order."""
        return [tensor.name for tensor in self.graph.outputs]

    @cached_property
    def _dtypes(self) -> list[tuple[str, np.dtype[np.generic]]]:
        return [(tensor.name, _DTYPES[tensor.datatype]) for tensor in self.graph.inputs]

    def run(
        self, inputs: Arrays, options: onnxruntime.RunOptions | None = None
    ) -> dict[str, NDArray[np.generic]]:
        """Run the graph; inputs and options are cast to the types the manifest names.

        Waits for a session where more threads call than there are sessions.
        """
        feed = {name: _cast(inputs[name], dtype) for name, dtype in self._dtypes}
        for name in self.graph.options:  # not made contiguous, which would give a scalar an axis
            feed[name] = np.asarray(inputs[name], np.int64)
        session = self.idle.get()
        try:
            values = session.run(self.outputs, feed, options)
        finally:
            self.idle.put(session)
        return dict(zip(self.outputs, values, strict=True))

    def replay(
        self, inputs: Arrays, within_s: float = REPLAY_TIMEOUT_S
    ) -> dict[str, NDArray[np.generic]]:
        """Run the graph on rows that are known to be good.

        Raises:
            BundleInvalidError: If it cannot run, does not end in time, or has not the tensors that
                the manifest names.
        """
        try:
            with _ended_after(within_s) as options:
                return self.run(inputs, options)
        except (*_REFUSED, ValueError) as error:
            if options.terminate:
                raise BundleInvalidError(
                    f"{self.graph.artifact.file} did not answer its golden rows in {within_s:g} s"
                ) from error
            raise BundleInvalidError(
                f"{self.graph.artifact.file} does not run as the manifest describes it"
            ) from error


def _cast(values: NDArray[np.generic], dtype: np.dtype[np.generic]) -> NDArray[np.generic]:
    if values.dtype == dtype and values.flags.c_contiguous:
        return values
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(values, dtype)


@contextlib.contextmanager
def _ended_after(seconds: float) -> Iterator[onnxruntime.RunOptions]:
    """Options of a run that is given up between two operators once the time is over."""
    options = onnxruntime.RunOptions()
    timer = Timer(seconds, setattr, (options, "terminate", True))
    timer.daemon = True
    timer.start()
    try:
        yield options
    finally:
        timer.cancel()


@dataclass(frozen=True, slots=True)
class Runtime:
    """Makes sessions.

    Attributes:
        provider: Where graphs run.
        sessions: Sessions per graph.
        gpu_mem_limit_bytes: Bound of each session's arena on the GPU, or None.
    """

    provider: Provider
    sessions: int
    gpu_mem_limit_bytes: int | None = None

    @classmethod
    def choose(
        cls,
        provider: Literal["auto", "cpu", "cuda"],
        sessions: int,
        gpu_mem_limit_bytes: int | None = None,
    ) -> Runtime:
        """Settle on a provider.

        Raises:
            StartError: If ``cuda`` is asked for and is not really in use.
        """
        onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        cpu = cls("cpu", sessions)
        if provider == "cpu":
            return cpu
        cuda = cls("cuda", sessions, gpu_mem_limit_bytes)
        reason = cuda.defect()
        if reason is None:
            return cuda
        if provider == "cuda":
            raise StartError(f"provider cuda was asked for, but {reason}; use cpu or auto")
        log.info("provider auto: graphs run on the CPU (no usable CUDA device here)")
        return cpu

    def defect(self) -> str | None:
        """Why the provider cannot be used here, or None if it can."""
        wanted = _EXECUTION[self.provider]
        if wanted not in onnxruntime.get_available_providers():
            return "this build of onnxruntime has no CUDA"
        onnxruntime.set_default_logger_severity(_FATAL_ONLY)
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                onnxruntime.preload_dlls()
            got = self._open(_PROBE).get_providers()[0]
        except (*_REFUSED, native.EPFail, RuntimeError):
            return "onnxruntime could not start it (no GPU, or no CUDA libraries)"
        finally:
            onnxruntime.set_default_logger_severity(_ERRORS_ONLY)
        return None if got == wanted else f"onnxruntime used {got} instead of {wanted}"

    def load(self, graph: Graph, content: bytes) -> Sessions:
        """Sessions of one graph.

        Raises:
            BundleInvalidError: If onnxruntime does not accept the graph.
            StartError: If a session does not run on the chosen provider.
        """
        idle: SimpleQueue[onnxruntime.InferenceSession] = SimpleQueue()
        for _ in range(self.sessions):
            try:
                session = self._open(content)
            except _REFUSED as error:
                raise BundleInvalidError(f"onnxruntime refuses {graph.artifact.file}") from error
            if session.get_providers()[0] != _EXECUTION[self.provider]:
                raise StartError(f"a graph did not load on {self.provider}")
            idle.put(session)
        return Sessions(graph, idle)

    def _open(self, content: bytes) -> onnxruntime.InferenceSession:
        return onnxruntime.InferenceSession(
            content, session_options(), providers=self.providers(), enable_fallback=0
        )

    def providers(self) -> list[tuple[str, dict[str, str]]]:
        """Where graphs run by onnxruntime's names, the preferred one first, with options."""
        cpu: tuple[str, dict[str, str]] = (_EXECUTION["cpu"], {})
        if self.provider == "cpu":
            return [cpu]
        # The first device that this process sees: Ray hides those of other replicas. TF32 keeps
        # three decimal digits: not an exact density.
        options = {"device_id": "0", "use_tf32": "0", "arena_extend_strategy": "kSameAsRequested"}
        if self.gpu_mem_limit_bytes is not None:
            options["gpu_mem_limit"] = str(self.gpu_mem_limit_bytes)
        return [(_EXECUTION["cuda"], options), cpu]


@cache
def _share_memory() -> None:
    """Make the one arena of the process that all its sessions take memory of the host from.

    With one each, sessions that meet their largest run late grow late, and keep what they had.
    """
    memory = onnxruntime.OrtMemoryInfo(
        "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
    )
    onnxruntime.create_and_register_allocator(memory, None)


def session_options() -> onnxruntime.SessionOptions:
    """Of every session: one thread, which does not spin; memory that it shares with others."""
    _share_memory()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _ERRORS_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.use_env_allocators", "1")
    # What was checked as ONNX must not be read as onnxruntime's own format.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    return options
