"""DeepSpeedConfig before 0.19.8: elasticity sets the batch before anything reads it."""

from __future__ import annotations

from typing import Any

from dsbridge.deepspeed.rules._make import NEWEST, ev, no_attribute, refusal, until, write
from dsbridge.deepspeed.rules.batch import MICRO, STEPS, TOTAL, WORLD
from dsbridge.rulebook import (
    all_of,
    elastic_batch,
    get,
    here_path,
    is_a,
    is_set,
    item,
    listed,
    missing,
    table,
    truthy,
)

_BLOCK = get("engine.elasticity")
_ON = all_of(is_a(_BLOCK, "dict"), truthy(item(_BLOCK, "enabled")))
_FOUND = elastic_batch(get("engine"), WORLD, table("deepspeed.elasticity"))
_EXAMPLE: dict[str, Any] = {
    "engine.elasticity": {
        "enabled": True,
        "max_train_batch_size": 32,
        "micro_batch_sizes": [2, 4],
        "version": 0.1,
    },
    "fact.world_size": 2,
}
_OLD = "0.18.4"


ELASTIC = (
    no_attribute(
        "DS262",
        "elasticity",
        "get",
        "config.elasticity",
        ev(
            "elasticity/elasticity.py",
            "205",
            "return ds_config[ELASTICITY].get(ENABLED, ENABLED_DEFAULT)",
            "kind/elasticity-null",
            _OLD,
        ),
        until(NEWEST),
    ),
    refusal(
        "DS255",
        "elasticity cannot set the batch",
        "config.elasticity",
        all_of(_ON, missing(item(_FOUND, TOTAL))),
        (item(_FOUND, "type"), item(_FOUND, "message"), listed(item(_FOUND, "field"))),
        "It needs a largest total and the micro batches to choose from, and no batch size of yours.",
        ev(
            "elasticity/config.py",
            "54",
            'raise ElasticityConfigError(f"Elasticity config missing',
            "removed/elasticity-no-max",
            _OLD,
        ),
        {"engine.elasticity.enabled": True, "fact.world_size": 2},
        _EXAMPLE,
        versions=until(NEWEST),
        hint="Leave elasticity out: DeepSpeed has removed it.",
    ),
    write(
        "DS256",
        "elasticity sets the batch",
        "config.elasticity",
        all_of(_ON, is_set(item(_FOUND, TOTAL))),
        listed(*(f"engine.{name}" for name in (TOTAL, MICRO, STEPS))),
        item(_FOUND, here_path()),
        "Elasticity looks for the total that the most numbers of GPUs can share.",
        ev(
            "runtime/config.py",
            "746",
            "self._param_dict[TRAIN_BATCH_SIZE] = final_batch_size",
            "removed/elasticity",
            _OLD,
        ),
        _EXAMPLE,
        {"engine.elasticity.enabled": False, "fact.world_size": 2},
        versions=until(NEWEST),
    ),
)
