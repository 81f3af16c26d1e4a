"""The page for users of tritonclient: its code runs against the shipped bundles."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from tests.engines import embedded

ROOT = Path(__file__).parents[1]


def test_the_code_on_the_page_runs(capsys: Any) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs/tritonclient.md").read_text(), re.S)
    assert len(blocks) == 3
    with embedded(ROOT / "exported" / "bundles") as running:
        rpc = re.search(r"gRPC on ([\d.:]+)", running.banner)
        assert rpc, running.banner
        code = "\n".join(blocks)
        assert "127.0.0.1:8000" in code
        code = code.replace("127.0.0.1:8000", running.url.removeprefix("http://"))
        code = code.replace("127.0.0.1:8001", rpc[1])
        exec(compile(code, "tritonclient.md", "exec"), {})  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.splitlines()) >= 4
