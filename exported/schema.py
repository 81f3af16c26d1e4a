"""Print the manifest's JSON schema.

``python -m exported.schema > exported/manifest.schema.json`` writes it again.
"""

import json
import sys

from exported.manifest import Manifest


def manifest_schema() -> str:
    """The JSON schema as committed."""
    return json.dumps(Manifest.model_json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(manifest_schema())
