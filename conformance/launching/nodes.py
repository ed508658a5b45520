"""Two nodes with a network between them: two network namespaces, each with a host name and one cable."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

INTERFACE = "eth0"
ADDRESSES = ("10.77.13.1", "10.77.13.2")
NAMES = ("dsbridge-node0", "dsbridge-node1")


def available() -> str:
    """Why there can be no namespaces here; "" when there can."""
    for program in ("ip", "unshare"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    done = subprocess.run(["unshare", "--net", "--uts", "true"], capture_output=True, check=False)
    return "" if done.returncode == 0 else "no namespaces without more rights"


@contextlib.contextmanager
def two_nodes() -> Iterator[tuple[list[str], ...]]:
    """The words that run a command on each node."""
    remove()
    try:
        for name in NAMES:
            _ip("netns", "add", name)
            # `ip netns exec` shows this file as /etc/hosts; the nodes know each other by name
            folder = Path("/etc/netns") / name
            folder.mkdir(parents=True, exist_ok=True)
            pairs = zip(ADDRESSES, NAMES, strict=True)
            hosts = "".join(f"{address} {host}\n" for address, host in (("127.0.0.1", "localhost"), *pairs))
            (folder / "hosts").write_text(hosts, encoding="utf-8")
        ends = [word for name in NAMES for word in ("name", INTERFACE, "netns", name)]
        _ip("link", "add", *ends[:4], "type", "veth", "peer", *ends[4:])
        for name, address in zip(NAMES, ADDRESSES, strict=True):
            _ip("-n", name, "address", "add", f"{address}/24", "dev", INTERFACE)
            for link in ("lo", INTERFACE):
                _ip("-n", name, "link", "set", link, "up")
        yield tuple(
            ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name}; exec "$@"', "sh"]
            for name in NAMES
        )
    finally:
        remove()


def remove() -> None:
    """Take the nodes away, those of an ended run too."""
    for name in NAMES:
        subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False)
        shutil.rmtree(Path("/etc/netns") / name, ignore_errors=True)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
