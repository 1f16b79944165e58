"""Logs on their way to a person: Vector's program compiled and run by Vector's own language, Loki's and Grafana's files agree with it.

There is no validator of a whole Loki or Vector configuration to be had as a package: what is checked here is that every path, port,
label and store that one file names is there in the other.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.build.observability import FOLDER
from ops.build.tools import TOOLS
from ops.observability.boards import BOARDS
from ops.observability.logs import LABELS, PROGRAM
from ops.observability.render import Unknown, check_log_query, log_queries
from titan.logs import configure

ROOT = Path(__file__).resolve().parents[3]
RUN = "import json, sys; from pyvrl import Transform; t = Transform(sys.argv[1] + chr(10) + '.'); "
RUN += "print(json.dumps([t.remap(e) for e in json.load(sys.stdin)], default=str))"


def remapped(*events: dict[str, str], program: str = PROGRAM) -> list[dict[str, Any]]:
    """What Vector makes of events."""
    if not (TOOLS / "wheels" / "pyvrl").is_dir():
        pytest.skip("pyvrl is not here: run .venv/bin/python ops/build/tools.py (it has a wheel for Python 3.11 only)")
    done = subprocess.run(
        [sys.executable, "-c", RUN, program], input=json.dumps(events), capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(TOOLS / "wheels")}, timeout=60,
    )  # fmt: skip
    if done.returncode != 0:
        raise ValueError(done.stderr)
    made: list[dict[str, Any]] = json.loads(done.stdout)
    return made


def file(name: str) -> Any:
    return yaml.safe_load((FOLDER / name).read_text())


def test_an_actors_own_line_becomes_its_fields(tmp_path: Path) -> None:
    configure("brain", tmp_path).warning("Order rejected", correlation_id="s-1")
    line = (tmp_path / "brain.jsonl").read_text().strip()
    (event,) = remapped({"message": line, "file": "/var/lib/titan/logs/brain.jsonl", "source_type": "file"})
    assert (event["actor"], event["level"], event["event"], event["correlation_id"]) == (
        "brain", "warning", "Order rejected", "s-1",
    )  # fmt: skip
    assert event["timestamp"].startswith(json.loads(line)["ts"][:19].replace("T", " "))
    assert "message" not in event


def test_a_line_that_is_no_object_stays_whole_under_its_files_name() -> None:
    plain, listed = remapped(
        {"message": "Traceback (most recent call last):", "file": "/var/lib/titan/logs/guardian.log"},
        {"message": "[1]", "file": "/var/lib/titan/logs/root.jsonl.1"},
    )
    assert plain == {
        "actor": "guardian",
        "level": "info",
        "message": "Traceback (most recent call last):",
        "file": plain["file"],
    }
    assert (listed["actor"], listed["message"]) == ("root", "[1]")


def test_a_program_with_a_mistake_is_refused() -> None:
    with pytest.raises(ValueError, match="error"):
        remapped({"message": ""}, program="del(.level")
    with pytest.raises(ValueError, match="E103"):
        remapped({"message": ""}, program=". = parse_json(.message)")


def test_what_one_file_names_stands_in_the_other() -> None:
    vector, loki = file("vector/vector.yml"), file("loki/loki.yml")
    port = loki["server"]["http_listen_port"]
    sink = vector["sinks"]["loki"]
    assert sink["endpoint"] == f"http://loki:{port}"
    assert tuple(sink["labels"]) == LABELS
    for part, inputs in {"parsed": vector["transforms"]["parsed"]["inputs"], "loki": sink["inputs"]}.items():
        assert set(inputs) <= vector["sources"].keys() | vector["transforms"].keys(), part
    sources = {each["uid"]: each for each in file("grafana/provisioning/datasources/titan.yml")["datasources"]}
    assert sources["titan-logs"]["url"] == sink["endpoint"]
    stored = loki["schema_config"]["configs"][0]
    assert (stored["store"], stored["schema"]) == ("tsdb", "v13")
    assert stored["object_store"] == "filesystem" in loki["common"]["storage"]
    assert loki["compactor"]["retention_enabled"], "retention deletes nothing without the compactor"
    assert loki["compactor"]["delete_request_store"] == stored["object_store"]


def test_the_services_mount_what_their_files_name() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.prod.yml").read_text())["services"]
    vector, loki = file("vector/vector.yml"), file("loki/loki.yml")
    assert "home:/var/lib/titan:ro" in services["vector"]["volumes"]
    assert all(path.startswith("/var/lib/titan/logs/") for path in vector["sources"]["titan"]["include"])
    assert any(each.startswith(f"{vector['data_dir']}:") for each in services["vector"]["tmpfs"])
    assert vector["api"]["address"] in " ".join(services["vector"]["healthcheck"]["test"])
    assert f"loki:{loki['common']['path_prefix']}" in services["loki"]["volumes"]
    assert services["loki"]["networks"] == services["vector"]["networks"] == ["watch"]
    assert "ports" not in services["loki"], "on the host its port is the brain's"
    assert "watch" in services["grafana"]["networks"]


def test_panels_of_logs_select_by_labels_that_lines_have() -> None:
    queries = list(log_queries())
    assert len(queries) >= 2
    for query in queries:
        check_log_query(query)
    boards = [json.loads((FOLDER / "grafana" / "dashboards" / f"{board.uid}.json").read_text()) for board in BOARDS]
    shown = [panel for board in boards for panel in board["panels"] if panel["type"] == "logs"]
    assert {panel["datasource"]["uid"] for panel in shown} == {"titan-logs"}
    assert [target["expr"] for panel in shown for target in panel["targets"]] == queries


@pytest.mark.parametrize("query", ['{pod="x"}', "{}", '|= "error"'])
def test_a_query_that_selects_nothing_is_refused(query: str) -> None:
    with pytest.raises(Unknown):
        check_log_query(query)


def test_secrets_are_no_labels() -> None:
    assert not [label for label in LABELS if re.search("secret|password|token|key", label)]
