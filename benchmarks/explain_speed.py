"""How long `dsbridge explain -- accelerate launch ...` takes as a whole process.

    python benchmarks/explain_speed.py [--runs 15] [--limit 2.2] [--accelerate PATH] [--faster 10]

Against importing its libraries (the floor of start_up.py), and against `accelerate launch --help` of an
environment that has Accelerate, all in turn in one go on one machine; medians of the ratios count.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from start_up import FLOOR, ROOT, ratios

YAML = """compute_environment: LOCAL_MACHINE
distributed_type: DEEPSPEED
deepspeed_config:
  gradient_accumulation_steps: 2
  gradient_clipping: 1.0
  zero_stage: 2
mixed_precision: bf16
num_machines: 1
num_processes: 8
"""
SCRIPT = """from accelerate import Accelerator
from torch.optim import AdamW
from torch.utils.data import DataLoader
from transformers import AutoModelForCausalLM

accelerator = Accelerator()
model = AutoModelForCausalLM.from_pretrained("model")
optimizer = AdamW(model.parameters(), lr=1e-4)
loader = DataLoader([{"x": 1}] * 64, batch_size=4)
model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=15)
    parser.add_argument("--limit", type=float, default=2.2)
    parser.add_argument("--faster", type=float, default=10.0)
    parser.add_argument("--accelerate", type=Path, default=ROOT / ".nox/conformance-hf/bin/accelerate")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        yaml, script = Path(folder) / "a.yaml", Path(folder) / "train.py"
        yaml.write_text(YAML)
        script.write_text(SCRIPT)
        command = [str(Path(sys.executable).with_name("dsbridge")), "explain", "--"]
        command += ["accelerate", "launch", "--config_file", str(yaml), str(script)]
        ratio, ours, floor = ratios(command, [sys.executable, "-c", FLOOR], options.runs)
        print(f"explain       {ratio:5.2f} x   {ours * 1000:6.1f} ms against {floor * 1000:6.1f} ms")
        ok = ratio <= options.limit
        if options.accelerate.exists():
            help_ = [str(options.accelerate), "launch", "--help"]
            times, theirs, ours = ratios(help_, command, max(3, options.runs // 3))
            print(f"launch --help {times:5.1f} x   {theirs * 1000:6.1f} ms against {ours * 1000:6.1f} ms")
            ok = ok and times >= options.faster
        else:
            print(f"{options.accelerate}: not there, so nothing is compared with `accelerate launch --help`")
    print(
        f"limits: {options.limit} x the floor, {options.faster:.0f} x faster than `accelerate launch --help`"
    )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
