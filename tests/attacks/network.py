"""A network of its own for a command, in which the machine has an address that others could reach; who listens there."""

from __future__ import annotations

import ipaddress
import shutil
import subprocess
from pathlib import Path

import pytest

ADDRESS = "192.0.2.7"
"""Of the machine in its network: neighbours would come here."""
_SET_UP = (
    f"ip link set lo up && ip addr add {ADDRESS}/24 dev lo && ip route add default dev lo src {ADDRESS} && "
    'exec "$@"'
)  # the address is on lo, for not every kernel has other devices: to programs it is one of the machine's own
LISTENS = "0A"
"""TCP's state, as the kernel writes it."""


def inside(*command: str) -> list[str]:
    """The command in a network of its own; its process is the one that is started."""
    words = ["unshare", "--net", "sh", "-c", _SET_UP, "sh"]
    if not shutil.which("unshare") or subprocess.run([*words, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs the right to make network namespaces")
    return [*words, *command]


def listeners(process: int) -> list[tuple[str, int]]:
    """Where somebody listens in a process's network: addresses and ports."""
    found: set[tuple[str, int]] = set()
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{process}/net/{name}").read_text().splitlines()[1:]:
            local, state = line.split()[1], line.split()[3]
            if state == LISTENS:
                number, port = local.split(":")
                found.add((_address(number), int(port, 16)))
    return sorted(found)


def beyond_loopback(process: int) -> list[tuple[str, int]]:
    """Those of them that a neighbour reaches."""
    return [(host, port) for host, port in listeners(process) if not _is_loopback(host)]


def _address(digits: str) -> str:
    """An address as the kernel writes it: in words of four bytes, each in this machine's order."""
    whole = bytes.fromhex(digits)
    turned = b"".join(whole[i : i + 4][::-1] for i in range(0, len(whole), 4))
    return str(ipaddress.ip_address(turned))


def _is_loopback(host: str) -> bool:
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return (mapped or address).is_loopback
