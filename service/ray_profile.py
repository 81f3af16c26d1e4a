"""The environment that Ray's processes are started with: what they bind, and which proxy is used.

Ray reads it when it is imported and when a process starts, so it is set before either. Clusters
set :data:`CLUSTER` on every node (``deploy/kubernetes/rayservice.yaml``); ``logdet serve --ray``
starts a Ray of its own and adds :data:`OWN`.
"""

from __future__ import annotations

from collections.abc import Mapping

EVERY_INTERFACE = "0.0.0.0"  # noqa: S104 - chosen by the user, never a default # nosec B104
BASE = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_LOG_CLIENT_ADDRESS": "0",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "service.http.request_id:around_serve",
    # Ray's default of 15 lets every other process of the machine go first.
    "RAY_worker_niceness": "0",
}
# HAProxy in front of the replicas' own ports in place of Serve's Python proxy. It binds every
# interface whatever it is told, so it is used only where that was asked for.
THROUGHPUT = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1",
    "RAY_SERVE_HAPROXY_NBTHREAD": "2",
    "RAY_SERVE_HAPROXY_TIMEOUT_CLIENT_S": "120",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "1",
    "RAY_SERVE_PROXY_HEALTH_CHECK_TIMEOUT_S": "3",
}
# Its statistics and metrics, and Serve's fallback proxy, beside the port of the API.
HAPROXY_PORTS = (8404, 9101, 8500)
CLUSTER = BASE | THROUGHPUT
# A Ray of one machine and one user: every port of its core on loopback, none of them at a fixed
# number that a second Ray on the machine would want too.
OWN = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "RAY_AUTH_MODE": "token",
    # A callback that runs late while Ray ends would otherwise start another one.
    "RAY_ENABLE_AUTO_CONNECT": "0",
    # What goes wrong reaches the terminal in the service's words; Serve's own logs stay in files.
    "RAY_SERVE_LOG_TO_STDERR": "0",
    "RAY_COLOR_PREFIX": "0",
    "RAY_DEDUP_LOGS": "0",
    "AUTOSCALER_METRIC_PORT": "0",
    "DASHBOARD_METRIC_PORT": "0",
}
_PYTHON_PROXY = {"RAY_SERVE_ENABLE_HA_PROXY": "0", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "0"}


def environment(host: str, token: str, given: Mapping[str, str]) -> dict[str, str]:
    """Variables to set before Ray starts.

    Args:
        host: Address to listen on.
        token: Secret that this Ray's processes show each other.
        given: The process's environment; its tuning wins over the throughput profile's.
    """
    own = BASE | OWN | {"RAY_AUTH_TOKEN": token}
    if host != EVERY_INTERFACE:
        return own | _PYTHON_PROXY
    tuned = {name: given.get(name, value) for name, value in THROUGHPUT.items()}
    return tuned | own
