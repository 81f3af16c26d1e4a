"""Print the manifest's JSON schema.

``python -m exported.schema > exported/manifest.schema.json`` writes it again.
"""

import json
import sys

from exported.kinds import MANIFEST


def manifest_schema() -> str:
    """The JSON schema as committed."""
    return json.dumps(MANIFEST.json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manifest_schema())
