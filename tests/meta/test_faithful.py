"""Theorem 2: what the framework makes of the rendered files is what the spec says, or a finding names it."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import assume, given, settings

from dsbridge.artifacts import Artifacts
from dsbridge.assumed import with_script
from dsbridge.explaining import Explanation, explain
from dsbridge.faithful import unmet, wanted
from dsbridge.prediction import launch_words
from dsbridge.reading import Files
from dsbridge.rendering import render
from dsbridge.spec.load import Loaded, load_file, load_mapping
from dsbridge.testing import loaded_specs
from tests.conftest import ROOT
from tests.meta.test_promises import BASE

TARGETS = ("accelerate", "deepspeed", "llamafactory", "trainer", "xtuner")
OWN = {"llamafactory": {"dataset": "identity", "template": "qwen"}, "xtuner": {"config": "c.py"}}
EXAMPLES = sorted(path.parent.name for path in (ROOT / "examples").glob("*/dsbridge.yaml"))
MODEL = '{"model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28}'
# what a user's XTuner config has in common with the shipped ones
XTUNER = """
from torch.optim import AdamW
pretrained_model_name_or_path = 'm'
batch_size = 1
accumulative_counts = 16
optim_wrapper = dict(
    type='AmpOptimWrapper',
    optimizer=dict(type=AdamW, lr=2e-4, betas=(0.9, 0.999), weight_decay=0),
    clip_grad=dict(max_norm=1, error_if_nonfinite=False),
    accumulative_counts=accumulative_counts, loss_scale='dynamic', dtype='float16')
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-5, by_epoch=True, begin=0, end=0.09, convert_to_iter_based=True),
    dict(type='CosineAnnealingLR', eta_min=0.0, by_epoch=True, begin=0.09, end=3, convert_to_iter_based=True),
]
train_cfg = dict(type='TrainLoop', max_epochs=3)
train_dataloader = dict(batch_size=batch_size, num_workers=0, dataset=dict(type='x'))
model = dict(type='SupervisedFinetune', llm=dict(pretrained_model_name_or_path='m'))
randomness = dict(seed=None, deterministic=False)
env_cfg = dict(dist_cfg=dict(backend='nccl'))
"""


def resolved(loaded: Loaded, artifacts: Artifacts) -> Explanation:
    """What the target's framework makes of the rendered files, from those files alone."""
    files, _ = with_script(artifacts, loaded.spec)
    files.setdefault("c.py", XTUNER)
    model = loaded.spec.model.name_or_path
    files[f"{model}/config.json"] = MODEL
    return explain(
        Files(memory=files),
        command=launch_words(artifacts),
        target=artifacts.target,
        facts={"num_training_steps": 100, "hidden_size": 3584, "world_size": world(loaded)},
    )


def world(loaded: Loaded) -> int:
    cluster = loaded.spec.cluster
    nodes = cluster.nodes if isinstance(cluster.nodes, int) else 1
    return nodes * (cluster.gpus_per_node if isinstance(cluster.gpus_per_node, int) else 1)


@pytest.mark.parametrize("example", EXAMPLES)
@pytest.mark.parametrize("target", TARGETS)
def test_the_examples_mean_what_they_say(target: str, example: str) -> None:
    loaded = load_file(ROOT / "examples" / example / "dsbridge.yaml")
    artifacts = render(loaded, target)
    if not artifacts.refused:
        assert not unmet(loaded.spec, artifacts, resolved(loaded, artifacts))


@pytest.mark.parametrize("target", TARGETS)
def test_any_spec_means_what_it_says(target: str) -> None:
    outcomes: Counter[str] = Counter()

    @settings(max_examples=60)
    @given(loaded=loaded_specs(OWN))
    def check(loaded: Loaded) -> None:
        script = loaded.spec.launch.script
        assume(not script or str(script).endswith(".py"))  # what the assumed script is called
        artifacts = render(loaded, target)
        outcomes["refused" if artifacts.refused else "rendered"] += 1
        if not artifacts.refused:
            broken = unmet(loaded.spec, artifacts, resolved(loaded, artifacts))
            assert not broken, "\n".join(map(str, broken))

    check()
    assert outcomes["rendered"] >= 10, outcomes


def test_a_broken_promise_is_seen() -> None:
    """The check itself: a clipping that is changed after rendering is found, unless a finding names it."""
    mapping: dict[str, Any] = {**BASE, "gradient_clipping": 0.5}
    loaded = load_mapping(mapping)
    artifacts = render(loaded, "deepspeed")
    assert wanted(loaded.spec)["gradient_clipping"] == ("gradient_clipping", 0.5)
    text = artifacts.files["ds_config.json"].replace('"gradient_clipping": 0.5', '"gradient_clipping": 0.7')
    changed = artifacts._replace(files={**artifacts.files, "ds_config.json": text})
    (broken,) = unmet(loaded.spec, changed, resolved(loaded, changed))
    assert (broken.path, broken.wanted, broken.effective) == ("gradient_clipping", 0.5, 0.7)
