"""Which keys of a config a function reads."""

from __future__ import annotations

from tools.harvest_xtuner_arguments import keys_read

SOURCE = """
def main():
    cfg = Config.fromfile(args.config)
    cfg.merge_from_dict(args.cfg_options)
    register(cfg._cfg_dict)
    if cfg.get("framework", "mmengine").lower() == "huggingface" and "runner_type" not in cfg:
        cfg.training_args.seed = cfg["model"]
    size = getattr(cfg, "sequence_parallel_size", 1)
    other.get("not_a_key")
    cfg.get(name)
"""


def test_every_way_of_reading_a_key() -> None:
    wanted = {"framework", "runner_type", "training_args", "model", "sequence_parallel_size"}
    assert set(keys_read(SOURCE)) == wanted
