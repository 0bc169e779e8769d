"""A Ray cluster of several nodes on one machine: `python -m mtl.cluster.local_nodes PORT NODES CPUS SCRATCH`.

`ray start` has fixed ports, so a second node of one machine collides with the first; Ray's own class for such clusters has
none. Nodes listen on loopback; RAY_AUTH_MODE=token keeps the machine's other users out.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from mtl.cluster.session import on_loopback

OBJECT_STORE = 150_000_000
"""Bytes of each node's: shards and weights are files, not objects."""
LOOK_SECONDS = 2.0


def main(port: int, nodes: int, cpus: int, scratch: str) -> int:
    """Keep the cluster until this process is told to end, or until one of its processes does.

    Args:
        port: of the Jobs API.
        nodes: the head among them.
        cpus: of each.
        scratch: a folder with a short path: those of Ray's sockets may have 107 bytes at most.
    """
    # A slow machine's node would give up on itself.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "300")
    os.environ.setdefault("RAY_agent_register_timeout_ms", "300000")
    # Where Ray notes the present cluster's address: without this in a folder of all clusters, which need not be there.
    os.environ["RAY_TMPDIR"] = scratch
    Path(scratch, "ray").mkdir(parents=True, exist_ok=True)
    os.environ.update(on_loopback(scratch))
    from ray.cluster_utils import Cluster

    each: dict[str, Any] = {"num_cpus": cpus, "object_store_memory": OBJECT_STORE}
    pages = {"include_dashboard": True, "dashboard_port": port, "temp_dir": scratch}
    cluster = Cluster(initialize_head=True, head_node_args=each | pages)
    try:
        for _ in range(nodes - 1):
            cluster.add_node(**each)
        # Ray's own answer, which each node has put here, waits half a minute for a head that is going too.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        while all(not node.dead_processes() for node in cluster.list_all_nodes()):
            time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return 0
    finally:
        cluster.shutdown()
    return 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]))
