"""Jobs for the tests of what a layout takes."""

from __future__ import annotations

from typing import Any

from dsbridge.planner import model_shape
from dsbridge.planner.cluster import Cluster, Gpu, Link
from dsbridge.planner.job import Job

GPU = Gpu("a GPU", 80 * 2**30, 989e12, 794e12)
LINK = Link("a link", 4e11)
LLAMA, SMALL = "meta-llama/Llama-3.1-8B", "Qwen/Qwen2.5-0.5B"


def job(
    model: str = LLAMA, nodes: int = 1, per_node: int = 8, transformers: str | None = None, **how: Any
) -> Job:
    """A job on GPUs of 80 GiB."""
    cluster = Cluster(nodes, per_node, GPU, LINK, LINK, LINK)
    return Job(model_shape(model, transformers), cluster, **how)
