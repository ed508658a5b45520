"""GPUs and links by the names that people and torch give them, and those that plugins add."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsbridge.cli.given import _WITHOUT_BF16
from dsbridge.planner import hardware
from dsbridge.planner.cluster import Board, Gpu, Link
from dsbridge.planner.errors import PlanError
from dsbridge.planner.hardware import cluster, gpu, gpus, has_bf16, link, links
from dsbridge.plugins import Origin, Registry, registry
from dsbridge.sdk import hookimpl

MINE, YOURS = Origin("mine", "mine 1.0"), Origin("yours", "yours 2.0")

# as `torch.cuda.get_device_name()` gives them, and as people write them
NAMES = [
    ("NVIDIA H100 80GB HBM3", "h100-80gb"),
    ("h100", "h100-80gb"),
    ("H100-80GB", "h100-80gb"),
    ("NVIDIA H100 PCIe", "h100-80gb-pcie"),
    ("NVIDIA H100 NVL", "h100-nvl"),
    ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
    ("a100 80g", "a100-80gb"),
    ("NVIDIA A100 80GB PCIe", "a100-80gb-pcie"),
    ("NVIDIA A100-PCIE-40GB", "a100-40gb"),
    ("NVIDIA H200", "h200"),
    ("NVIDIA B200", "b200"),
    ("Tesla V100-SXM2-32GB", "v100-32gb"),
    ("Tesla T4", "t4"),
    ("NVIDIA L4", "l4"),
    ("NVIDIA L40S", "l40s"),
    ("NVIDIA A10G", "a10g"),
    ("NVIDIA RTX A6000", "a6000"),
    ("NVIDIA GeForce RTX 4090", "rtx-4090"),
    ("rtx4090", "rtx-4090"),
    ("AMD Instinct MI300X", "mi300x"),
    ("AMD Instinct MI250X/MI250", "mi250"),
    ("Intel Gaudi 2", "gaudi2"),
    ("Ascend 910B", "ascend-910b"),
]
LINKS = [
    ("NVLink 4", "nvlink4"),
    ("InfiniBand NDR", "ib-ndr"),
    ("ndr", "ib-ndr"),
    ("400GbE", "eth-400"),
    ("PCIe 4.0 x16", "pcie4"),
    ("pcie5", "pcie5"),
    ("efa-v2", "efa-v2"),
]


@pytest.mark.parametrize(("written", "name"), NAMES)
def test_a_gpu_by_its_name(written: str, name: str) -> None:
    assert gpu(written).name == name


@pytest.mark.parametrize(("written", "name"), LINKS)
def test_a_link_by_its_name(written: str, name: str) -> None:
    assert link(written).name == name


@pytest.mark.parametrize(
    ("wrong", "says", "hint"),
    [
        ("h10", "no GPU 'h10' is in the catalogue", "h100-80gb"),
        ("a100", "'a100' has 2 sizes of memory", "give a100-40gb or a100-80gb"),
        ("toaster", "no GPU 'toaster'", "docs/reference/hardware.md lists the gpus"),
    ],
)
def test_a_gpu_that_nobody_knows(wrong: str, says: str, hint: str) -> None:
    with pytest.raises(PlanError) as refused:
        gpu(wrong)
    assert says in refused.value.problem
    assert hint in refused.value.hint


def test_a_link_that_nobody_knows() -> None:
    with pytest.raises(PlanError, match="did you mean ib-hdr"):
        link("ib-hdr200")


@given(st.text(max_size=30))
def test_any_name_is_found_or_refused(name: str) -> None:
    for ask in (gpu, link):
        try:
            assert ask(name).name
        except PlanError as error:
            assert error.hint


def test_every_number_has_a_source_and_its_size() -> None:
    for board in gpus():
        made = board.gpu
        assert 12e9 < made.memory < 400e9
        assert 50e12 < made.peak < 5000e12, "FLOP a second"
        assert 0.4 * made.peak < made.reached <= made.peak
        assert all(f"{part}: " in made.source for part in ("memory", "peak", "reached"))
        assert "memory: ;" not in made.source
        for name in (board.intra, board.pcie, board.inter):
            assert link(name).name == name
        for name in (made.name, *board.names):
            assert gpu(name) == made
    assert all(1e9 < one.rate < 2e12 and one.source for one in links())


def test_what_is_not_said_of_a_cluster_is_as_usual() -> None:
    made = cluster(2, 8, "h100")
    assert (made.intra.name, made.inter.name, made.pcie.name, made.adapters) == (
        "nvlink4", "ib-ndr", "pcie5", 8,
    )  # fmt: skip
    assert cluster(2, 4, "h100").adapters == 4
    assert cluster(2, 8, "a100-40gb", inter="efa-v1").adapters == 4
    assert cluster(2, 8, "h100", adapters=1, intra="nvlink").intra.name == "nvlink4"
    with pytest.raises(PlanError, match="0 nodes"):
        cluster(0, 8, "h100")


def test_a_mesh_gives_a_small_group_less() -> None:
    # measured on MI300X: 48 GB/s among two, 313 among eight (ml-engineering, network/README.md)
    xgmi = link("xgmi3")
    assert xgmi.among(2) == xgmi.rate / 7
    assert xgmi.among(8) == xgmi.rate
    assert link("nvlink4").among(2) == link("nvlink4").rate


def test_bf16_is_known_of_all_sizes() -> None:
    assert has_bf16("a100") is True
    assert has_bf16("v100") is False
    assert has_bf16("toaster") is None
    for name in ("v100-16gb", "t4"):
        assert has_bf16(name) is False
        assert any(old in name for old in _WITHOUT_BF16), "as before there was a catalogue"


class Plugin:
    """Brings what it is given."""

    def __init__(self, *several: Any) -> None:
        self.several = several

    @hookimpl
    def dsbridge_hardware(self) -> Iterable[Any]:
        return self.several


FABRIC = Link("house-fabric", 37.5e9, "ours")
GPU = Gpu("x900-64gb", 68_000_000_000, 500e12, 380e12, False, "ours")
BOARD = Board(GPU, ("x900",), "nvlink4", "pcie5", "house-fabric", 4)


@pytest.fixture
def known() -> Registry:
    """All installed plugins, and room for more."""
    return registry.__wrapped__()


def test_a_plugin_adds_a_gpu_and_a_link(known: Registry) -> None:
    assert gpu("h100", known) == gpu("h100")
    known.add(Plugin(FABRIC, BOARD), MINE)
    made = cluster(2, 8, "NVIDIA X900 64GB", known=known)
    assert (made.gpu, made.inter, made.adapters) == (GPU, FABRIC, 4)
    assert has_bf16("x900", known) is False
    assert gpu("h100", known) == gpu("h100")
    assert not known.failures
    with pytest.raises(PlanError):
        gpu("x900")


BROKEN = [
    (Plugin("a text"), "dsbridge_hardware gives str, not dsbridge.sdk.Board or Link"),
    (Plugin(Link("ib-ndr", 1e9)), "link `ib-ndr` is already taken by dsbridge itself"),
    (Plugin(Link("new", 0.0)), "link `new` has a rate of 0.0"),
    (Plugin(BOARD), "GPU `x900-64gb` has a link `house-fabric` that nobody knows"),
    (Plugin(FABRIC, BOARD._replace(names=("H100",))), "GPU `H100` is already taken by dsbridge itself"),
    (Plugin(FABRIC, BOARD._replace(gpu=GPU._replace(reached=0))), "needs memory, peak and reached above 0"),
]


@pytest.mark.parametrize(("plugin", "says"), BROKEN)
def test_one_that_breaks_the_contract_is_named(known: Registry, plugin: Plugin, says: str) -> None:
    known.add(plugin, MINE)
    assert hardware.gpus(known) == gpus()
    (failure,) = known.failures
    assert str(failure).startswith("plugin `mine` (package mine 1.0): ")
    assert says in str(failure)


def test_two_plugins_with_one_name_are_both_named(known: Registry) -> None:
    known.add(Plugin(FABRIC, BOARD), MINE)
    known.add(Plugin(FABRIC), YOURS)
    assert link("house-fabric", known) == FABRIC
    assert [str(error) for error in known.failures] == [
        "plugin `yours` (package yours 2.0): link `house-fabric` is already taken by plugin `mine` "
        "(package mine 1.0)"
    ]
