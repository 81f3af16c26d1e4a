"""Parts of queries that several panels ask."""

from __future__ import annotations

# Selectors of a service, and of the models chosen.
J = 'job="$job"'
M = 'job="$job",model=~"$model",version=~"$version"'
R = "$__rate_interval"


def share(above: str, below: str, by: str) -> str:
    """Share of one rate in another."""
    return f"sum by ({by}) (rate({above}[{R}])) / sum by ({by}) (rate({below}[{R}]))"


def quantile(q: float, name: str, by: str, selected: str = M) -> str:
    """A quantile of a histogram of seconds or the like."""
    buckets = f"rate(logdet_{name}_bucket{{{selected}}}[{R}])"
    return f"histogram_quantile({q}, sum by (le, {by}) ({buckets}))"
