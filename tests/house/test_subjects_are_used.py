"""The registry of subjects tells the truth: who publishes and who listens is read from the code and compared with the table."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

from tests.house.test_rooms import ROOMS, ROOT, mentions, modules
from titan import subjects
from titan.subjects import SUBJECTS, matches

RAW_SUBJECT = re.compile(r"""["']titan\.(cmd|evt|data|signal|rpc|sys|dlq|ops)\.""")
RECEIVING = {"subscribe", "subscribe_raw", "subscribe_any", "consume", "serve", "_listen", "Feed"}
ANSWERING = {"reply"}
ACTORS = ("market_data", "scavenger", "brain", "router", "execution", "gateway", "root")
# The pulse of every actor and its alerts are the common shell's, dead letters the bus's.
SHARED = {"titan/actor.py", "titan/bus/opening.py"}
# Tools read the registry or stand in for an actor; they are no part of a running Titan.
TOOLS = ("ops/bench/", "ops/build/", "ops/chaos/", "ops/cli/up.py", "ops/drill/")


def services_of(path: str) -> tuple[str, ...]:
    """Under which names a module speaks on the bus."""
    if path in SHARED:
        return ACTORS
    room, _, rest = path.partition("/")
    return {"actors": (rest.partition("/")[0],), "supervisors": ("root",), "ops": ("command",)}.get(room, ())


def pattern_of(node: ast.Attribute, call: ast.Call | None) -> str | None:
    """The subject or pattern that a reference to the registry stands for; None for what is no subject."""
    found = getattr(subjects, node.attr)
    if isinstance(found, str):
        return str(found)
    if (
        call is None
        or call.func is not node
        or not inspect.isfunction(inspect.unwrap(found))
        or found in (subjects.token, matches)
    ):
        return None
    given = [argument.value if isinstance(argument, ast.Constant) else "x" for argument in call.args]
    return str(subjects.operator("halt") if found is subjects.operator else found(*given))


def uses(tree: ast.Module) -> Iterator[tuple[str, str]]:
    """(subject, "sends" or "receives") of every reference to the registry in a module."""
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute) or not isinstance(node.value, ast.Name) or node.value.id != "subjects":
            continue
        above = parents.get(node)
        pattern = pattern_of(node, above if isinstance(above, ast.Call) else None)
        caller = enclosing_call(node, parents)
        if pattern is not None and caller not in ANSWERING:
            yield pattern, "receives" if caller in RECEIVING else "sends"


def enclosing_call(node: ast.AST, parents: dict[ast.AST, ast.AST]) -> str:
    """The name of the innermost function that gets the subject as an argument."""
    child, above = node, parents.get(node)
    while above is not None and not isinstance(above, ast.stmt):
        if isinstance(above, ast.Call) and above.func is not child:
            return above.func.attr if isinstance(above.func, ast.Attribute) else getattr(above.func, "id", "")
        child, above = above, parents.get(above)
    return ""


def found_in_code() -> dict[str, tuple[set[str], set[str]]]:
    """Publishers and subscribers of each pattern of the table."""
    table: dict[str, tuple[set[str], set[str]]] = {spec.pattern: (set(), set()) for spec in SUBJECTS}
    for path in modules(*ROOMS):
        name = str(path.relative_to(ROOT))
        if name == "titan/subjects.py" or name.startswith(TOOLS):
            continue
        for used, way in uses(ast.parse(path.read_text())):
            rows = [spec.pattern for spec in SUBJECTS if covers(used, spec.pattern)]
            assert rows, f"{name} uses {used}, which the table does not have"
            for row in rows:
                table[row][way == "receives"].update(services_of(name))
    return table


def covers(used: str, pattern: str) -> bool:
    """Whether using this subject or pattern is a use of the table's row."""
    return used == pattern or matches(pattern, used) or (used.endswith(">") and pattern.startswith(used[:-1]))


def test_publishers_and_subscribers_are_as_the_table_says() -> None:
    said = {spec.pattern: (set(spec.publishers), set(spec.subscribers)) for spec in SUBJECTS}
    found = found_in_code()
    differing = {pattern for pattern in said if said[pattern] != found[pattern]}
    assert {pattern: found[pattern] for pattern in differing} == {pattern: said[pattern] for pattern in differing}


def test_no_subject_is_spelled_outside_the_registry() -> None:
    assert [line for line in mentions(RAW_SUBJECT, *ROOMS) if not line.startswith("titan/subjects.py:")] == []


def test_the_reader_of_the_code_tells_sending_from_receiving() -> None:
    source = """
async def run(self):
    await self.bus.subscribe(subjects.heartbeat("brain"), Heartbeat, self.on_beat)
    effects.append(Publish(subjects.TRUTH, message))
    subject = subjects.fill(a, b, c)
    await bus.reply(inbox, subjects.operator(verb), answer)
    place = lru_cache(maxsize=256)(subjects.intent_place)
"""
    assert sorted(uses(ast.parse(source))) == [
        (subjects.fill("x", "x", "x"), "sends"),
        (subjects.TRUTH, "sends"),
        (subjects.heartbeat("brain"), "receives"),
    ]


def test_the_table_has_no_row_twice() -> None:
    patterns = [spec.pattern for spec in SUBJECTS]
    assert sorted(set(patterns)) == sorted(patterns)
