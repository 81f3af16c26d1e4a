"""What Ray makes of the manifests, in a process of its own: nothing else here imports Ray.

Reads ``[{"serve": .., "environ": ..}, ..]`` from standard input, writes what came of each.
"""

import json
import os
import sys
from typing import Any

from ray.dashboard.http_server_agent import PUBLIC_EXACT_PATHS
from ray.serve.schema import ServeDeploySchema

from service.ray_cluster import KEEP_ALIVE_S, OBJECT_STORE_BYTES, PATIENCE_S
from service.ray_engine import build
from service.ray_replica import APPLICATION, DEPLOYMENT


def built(serve: dict[str, Any], environ: dict[str, str]) -> dict[str, Any]:
    """The application's name and deployments, and the settings that its replicas get."""
    (application,) = ServeDeploySchema.model_validate(serve).applications
    os.environ.update(environ)
    made = build(application.args)._bound_deployment
    for name in environ:
        del os.environ[name]
    scaling = made._deployment_config.autoscaling_config
    return {
        "application": application.name,
        "deployments": [one.name for one in application.deployments],
        "builds": made.name,
        "settings": made.init_args[0],
        "most_replicas": scaling and scaling.max_replicas,
    }


if __name__ == "__main__":
    constants = {
        "application": APPLICATION,
        "deployment": DEPLOYMENT,
        "keep_alive_s": KEEP_ALIVE_S,
        "object_store_bytes": OBJECT_STORE_BYTES,
        "patience_s": PATIENCE_S,
        "public_paths": PUBLIC_EXACT_PATHS,
    }
    json.dump({**constants, "built": [built(**one) for one in json.load(sys.stdin)]}, sys.stdout)
