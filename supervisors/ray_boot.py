"""Boots one Ray head and the root supervisor, says their pids on one JSON line, and ends: nothing of it stays in memory.

Guarantees: GCS, raylet and root outlive this process and are its guardian's to watch. What it starts is Ray's own node, without
the API server when there is no dashboard, without client proxy, autoscaler and log monitor. Never: a long life.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray._private.node import Node
from ray._private.parameter import RayParams

from supervisors.ray_node import HEAD_FILE, NODES_WITHIN_S, Booted, RayPlan, resources_of
from supervisors.root import create_root
from supervisors.tree import CORE_ROLE, NAMESPACE, NODE_ROLES, load_groups, resource_of
from titan.errors import TimedOut
from titan.files import write_private

LOOK_EVERY_S = 0.2


class LeanNode(Node):
    """Ray's node; the API server is a process of 80 MB that only the dashboard needs."""

    def start_api_server(self, *, include_dashboard: bool | None = None, raise_on_failure: bool = True) -> None:
        """Starts it with the dashboard only."""
        if include_dashboard:
            super().start_api_server(include_dashboard=include_dashboard, raise_on_failure=raise_on_failure)


def boot(plan: RayPlan) -> Booted:
    """Starts everything. Raises what Ray raises."""
    params = RayParams(
        node_ip_address="127.0.0.1",
        node_name="titan",
        gcs_server_port=plan.ports["gcs"],
        node_manager_port=plan.ports["node_manager"],
        object_manager_port=plan.ports["object_manager"],
        dashboard_agent_listen_port=plan.ports["agent_http"],
        metrics_agent_port=plan.ports["agent_grpc"],
        runtime_env_agent_port=plan.ports["runtime_env"],
        metrics_export_port=plan.ports["metrics"],
        include_dashboard=plan.dashboard,
        dashboard_host="127.0.0.1",
        dashboard_port=plan.dashboard_port,  # type: ignore[arg-type]  # Ray's own annotation is wrong
        object_store_memory=plan.object_store_bytes,
        num_cpus=plan.num_cpus,
        temp_dir=plan.temp_dir,
        resources=resources_of([CORE_ROLE, *(role for role in NODE_ROLES if role not in plan.nodes)]),
        no_monitor=True,
        include_log_monitor=False,  # type: ignore[arg-type]  # Ray's own annotation is wrong
        ray_client_server_port=None,
    )
    node = LeanNode(params, head=True, shutdown_at_exit=False, spawn_reaper=False)
    pids = {kind: processes[0].process.pid for kind, processes in node.all_processes.items()}
    ray.init(
        address=f"127.0.0.1:{plan.ports['gcs']}",
        namespace=NAMESPACE,
        log_to_driver=False,
        logging_level=logging.ERROR,
    )
    head = {"address": f"127.0.0.1:{plan.ports['gcs']}", "session": plan.session}
    write_private(Path(plan.home) / "run" / HEAD_FILE, json.dumps(head) + "\n")
    wait_for_nodes(plan.nodes)
    root: Any = create_root(plan.home, plan.guardian_pid, load_groups(plan.groups))
    root_pid = int(ray.get(root.hello.remote(), timeout=60))
    dashboard = node.all_processes.get("dashboard", ())
    return Booted(
        gcs_pid=pids["gcs_server"],
        raylet_pid=pids["raylet"],
        root_pid=root_pid,
        dashboard_pid=dashboard[0].process.pid if dashboard else 0,
        dashboard_command=[str(word) for word in dashboard[0].process.args] if dashboard else [],
    )


def wait_for_nodes(roles: Sequence[str], within_s: float = NODES_WITHIN_S) -> None:
    """Returns when every role has a node. Raises TimedOut naming the roles that have none."""
    deadline = time.monotonic() + within_s
    offered: Callable[[], dict[str, float]] = ray.cluster_resources
    while missing := [role for role in roles if resource_of(role) not in offered()]:
        if time.monotonic() > deadline:
            raise TimedOut(
                f"no Ray node for {', '.join(missing)} within {within_s:.0f} s: start one with titan node ROLE"
            )
        time.sleep(LOOK_EVERY_S)


def main() -> int:
    """The command: the plan as JSON in, one JSON line out."""
    # Ray prints; the answer must stay alone on its stream, and no process of Ray may hold it open.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    booted = boot(RayPlan(**json.loads(sys.argv[1])))
    print(json.dumps(asdict(booted)), file=answer, flush=True)
    answer.close()
    # Ray's own exit handlers would wait for the cluster.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
