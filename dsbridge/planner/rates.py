"""How fast things really go, as ranges: what `timing` divides by. Each with where it was measured.

What was read is named; what nobody measured in a way that we could read is called assumed.
"""

from __future__ import annotations

from dsbridge.planner.terms import Range

# Of what a matrix product reached (`Gpu.reached`), by a whole step, with attention and everything between the
# products. XTuner's table of Llama-2 on A100 has 0.47 to 0.71 with its communication, one row 0.88 (v0.1.23,
# docs/zh_cn/acceleration/benchmark.rst); GPT-2 on a V100 0.46 (ZeRO-Offload tutorial); IDEFICS-80B logged
# 90 of 271 TFLOP/s, 0.33 with its communication (ml-engineering).
DENSE = Range(0.40, 0.85)
# With a mixture of experts. DeepSpeed PR #8064: 27,941 and 57,414 tokens/s on 16 H100 with about 1.7e9 active
# parameters, 0.02 and 0.05 with communication. XTuner V1's benchmark: 228 TFLOP/s on H100, 0.29. Up to 0.6
# is assumed.
EXPERTS = Range(0.03, 0.60)

# Of a link's rate, large messages. In a node: all-gather and reduce-scatter 0.80 and 0.81, all-reduce ring
# 0.78 (A100) and 0.82 (H200), MI300X 0.70; on PCIe 0.88 with no other traffic, assumed from 0.3 where the
# way is through the host. All-reduce in NVSwitch (NVLS, six GPUs and more): 1.07 (ml-engineering,
# network/README.md)
INSIDE = Range(0.70, 0.85)
INSIDE_PCIE = Range(0.30, 0.88)
SWITCHED, SWITCHED_FROM, SWITCHES = 1.07, 6, ("nvlink4", "nvlink5")
# Between nodes: 0.57 at 256 MiB and 0.95 at 4 GiB, 4 nodes of B200 on EFA; "about 0.8" (same page)
BETWEEN = Range(0.60, 0.95)
# Seconds that a collective takes without its bytes. In a node 40 us at 32 KiB; fits of the same runs say 50
# to 85; llm-analysis takes 8. Between nodes 380 to 420 us (4 nodes, EFA); assumed from 40.
ALPHA_INSIDE = Range(8e-6, 85e-6)
ALPHA_BETWEEN = Range(40e-6, 420e-6)

# Of PCIe's rate between GPU and host: 0.87 and 0.88 pinned on H200 (same page); assumed from 0.4
PINNED, PAGEABLE = Range(0.40, 0.88), Range(0.15, 0.50)
# Bytes of host memory that CPU Adam reads and writes for a parameter: master weight and two moments both
# ways, a gradient, and the new weight in 16 bits
ADAM = 4 + 4 + 4 + 4 + 4 + 4 + 4 + 2
# Bytes a second of a node's host in CPU Adam. Low: 10.2e9 parameters in 7.6 s (DeepSpeed's ZeRO-Offload
# tutorial), 40e9; 6.7e9 in 6.5 s (ZenFlow blog), 31e9. High: assumed, half of what eight channels of DDR5
# have.
HOST = Range(30e9, 200e9)
# Bytes a second of a node's disks, reading and writing mixed: DeepNVMe, four PCIe 4 SSDs 10 and 5, eight
# PCIe 5 48 and 26 GB/s (blogs/deepnvme/06-2025)
DISK = Range(5e9, 35e9)
