"""A Ray cluster of two nodes on this machine, in a process of its own: `python tests/ray_cluster.py`.

It prints its address. The line "kill" on standard input kills the second node at once, and "add" adds another one; it ends with its input.
"""

from __future__ import annotations

import os
import sys

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"

from ray.cluster_utils import Cluster

from isthmus.io.terminal import print_lines

if __name__ == "__main__":
    here = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 10**8}
    cluster = Cluster(initialize_head=True, head_node_args=here)
    other = {"num_cpus": 1, "object_store_memory": 10**8}
    second = cluster.add_node(**other)
    cluster.wait_for_nodes()
    print_lines(cluster.address)
    for line in sys.stdin:
        if line.strip() == "kill":
            cluster.remove_node(second, allow_graceful=False)
        else:
            second = cluster.add_node(**other)
        print_lines(line.strip())
    cluster.shutdown()
