"""LLaMA-Factory from a script of one's own: its YAML has no place for a callback, `run_exp` has."""

from llamafactory.train.tuner import run_exp

from dsbridge.hooks import VerifyCallback

if __name__ == "__main__":
    run_exp(callbacks=[VerifyCallback("dsbridge.yaml")])
