"""Compile ``protos/`` into the committed descriptors: ``python -m service.grpc.generate``.

With ``--check`` nothing is written, and the exit status says whether the committed ones are those
of the protos. Needs grpcio-tools, which the service itself does not.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from grpc_tools import protoc  # type: ignore[import-untyped]

from service.grpc.pool import DESCRIPTORS

PROTOS = Path(__file__).with_name("protos")


def compiled() -> FileDescriptorSet:
    """The descriptors of every file in ``protos/``, in the order of their names.

    Raises:
        ValueError: If the compiler refuses a file; it has said why on standard error.
    """
    sources = sorted(path.name for path in PROTOS.glob("*.proto"))
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "set"
        code = protoc.main(
            ["protoc", f"--proto_path={PROTOS}", f"--descriptor_set_out={out}", *sources]
        )
        if code != 0:
            raise ValueError(f"expected protos that compile, protoc ended with {code}")
        return FileDescriptorSet.FromString(out.read_bytes())


def main(arguments: list[str]) -> int:
    """Write the descriptors, or compare them; the exit status."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("expected no argument or --check\n")
        return 2
    new = compiled()
    if not arguments:
        DESCRIPTORS.write_bytes(new.SerializeToString(deterministic=True))
        return 0
    # Compared as messages: another version of the compiler may order bytes differently.
    if FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()) == new:
        return 0
    sys.stderr.write(
        f"{DESCRIPTORS.name} is not that of the protos; run python -m {__spec__.name}\n"
    )
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
