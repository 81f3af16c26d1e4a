"""Documents of a VAE and of an autoencoder over the files of :mod:`tests.exported.conftest`."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

Document = dict[str, Any]

ERROR = {"median": 1e-6, "p999": 1e-5, "max": 1e-5}
_FLOW_ONLY = ("density_tolerance", "base", "accuracy", "held_out")


def tensor(name: str, *shape: int) -> Document:
    return {"name": name, "datatype": "FP32", "shape": [-1, *shape]}


def output(name: str, *shape: int) -> Document:
    return tensor(name, *shape) | {"tolerance": {"absolute": 1e-4, "relative": 1e-5}}


def depth_choice(depth: int) -> Document:
    return {
        "depth": depth,
        "elbo": -3.0,
        "importance_bound": -2.5,
        "samples": 64,
        "standard_error": 0.1,
        "milliseconds": 0.5,
    }


def vae_document(flow: Document) -> Document:
    """A VAE of the same features, two latent ones and a choice of depths."""
    document = _common(flow) | {
        "density": "lower_bound",
        "base": {"distribution": "standard_normal", "draws_per_row": 2},
        "observation": {"distribution": "uniform", "draws_per_row": 2},
        "likelihood": "gaussian",
        "depth": {"default": 2, "offered": [depth_choice(0), depth_choice(2)]},
        "scoring": {"samples": 16, "seed": 0},
        "operations": {"log_prob_bound": "log_weight", "decode": "decode"},
        "accuracy": {"rows": 100, "log_weight_error": ERROR, "decode_error": ERROR},
        "held_out": {
            "rows": 100,
            "samples": 500,
            "elbo": -3.5,
            "importance_bound": -3.0,
            "standard_error": 0.1,
        },
    }
    weight = document["graphs"].pop("log_prob") | {
        "inputs": [tensor("x", 2), tensor("noise", -1, 2)],
        "outputs": [output("log_weight", -1)],
        "options": ["depth"],
    }
    document["graphs"]["log_weight"] = weight
    document["graphs"]["decode"]["outputs"] = [output("x", 2)]
    return document


def autoencoder_document(flow: Document) -> Document:
    """An autoencoder of the same features."""
    document = _common(flow) | {
        "density": "none",
        "operations": {"encode": "encode", "decode": "decode"},
        "accuracy": {"rows": 100, "reconstruction_error": ERROR},
        "held_out": {"rows": 100, "error": 0.3, "standard_error": 0.01},
    }
    graphs = document["graphs"]
    graphs["encode"] = graphs.pop("log_prob") | {"outputs": [output("z", 2)]}
    graphs["decode"]["outputs"] = [output("x", 2)]
    return document


def _common(flow: Document) -> Document:
    return {key: deepcopy(flow[key]) for key in flow if key not in _FLOW_ONLY}
