"""Which layout fits, what it costs, and why: what `dsbridge plan` stands on."""

from dsbridge.planner.catalogue import entries as catalogue
from dsbridge.planner.errors import ShapeError
from dsbridge.planner.loading import model_shape
from dsbridge.planner.modules import Block, Module
from dsbridge.planner.quantised import Quantised, quantised
from dsbridge.planner.shape import Experts, LatentAttention, ModelShape
from dsbridge.planner.tuning import Freeze, Lora, Trained, trained

__all__ = [
    "Block",
    "Experts",
    "Freeze",
    "LatentAttention",
    "Lora",
    "ModelShape",
    "Module",
    "Quantised",
    "ShapeError",
    "Trained",
    "catalogue",
    "model_shape",
    "quantised",
    "trained",
]
