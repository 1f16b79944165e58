"""The policy file, its hash and its overlays."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from tests.shared_data import load_vectors
from titan.errors import ConfigError
from titan.policy import RiskPolicy, load_policy, parse_policy

DEFAULT_FILE = Path(__file__).resolve().parents[2] / "ops" / "config" / "risk_policy.json"
DEFAULT_HASH = "7ff820b56b12d89d64dcb78a261a8062087cde3bc3d47e03e11037a4de354a7d"
DEFAULT_TEXT = (
    '{"correlationPenalty":0.5,"lastUpdated":0,"maxAccountLeverage":10,"maxCorrelation":0.7,"maxDailyLoss":-1000,'
    '"maxOpenOrdersPerSymbol":5,"maxPositionNotional":50000,"maxSlippageBps":100,"maxStalenessMs":5000,'
    '"minConfidenceScore":0.7,"minStopDistanceMultiplier":1.5,"symbolWhitelist":["BTC/USDT","ETH/USDT","SOL/USDT"],'
    '"version":1}'
)


def default_raw() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads(DEFAULT_FILE.read_text())
    return loaded


def test_the_shipped_policy_has_the_attested_text_and_hash() -> None:
    policy = load_policy(DEFAULT_FILE)
    assert policy.canonical_text == DEFAULT_TEXT
    assert policy.hash == DEFAULT_HASH


def test_the_shared_vector_of_the_hash_passes() -> None:
    for vector in load_vectors("brain")["vectors"]:
        if vector["group"] == "risk_policy_hash":
            assert parse_policy(vector["input"]["policy"]).hash == vector["expected"]


def test_the_shared_vector_of_parsing_passes() -> None:
    for vector in load_vectors("execution")["vectors"]:
        if vector["group"] == "policy_parse":
            policy = parse_policy(vector["input"]["json"])
            assert {name: float(getattr(policy, name)) for name in vector["expected"]} == vector["expected"]


def test_integers_and_integral_floats_have_one_hash() -> None:
    raw = default_raw()
    as_integers = {key: int(value) if value == int(value) else value for key, value in raw.items() if _numeric(value)}
    assert parse_policy(raw | as_integers).hash == DEFAULT_HASH


def _numeric(value: object) -> bool:
    return isinstance(value, int | float)


def test_snake_case_names_mean_the_same_policy() -> None:
    policy = load_policy(DEFAULT_FILE)
    snake = {name: getattr(policy, name) for name in RiskPolicy.__dataclass_fields__}
    assert parse_policy(snake, complete=True) == policy


def test_any_changed_limit_changes_the_hash() -> None:
    seen = {DEFAULT_HASH}
    for key, value in {
        "maxAccountLeverage": 9,
        "maxPositionNotional": 49_999.5,
        "maxDailyLoss": -999,
        "maxOpenOrdersPerSymbol": 4,
        "symbolWhitelist": ["BTC/USDT"],
        "maxSlippageBps": 99,
        "maxStalenessMs": 4999,
        "maxCorrelation": 0.69,
        "correlationPenalty": 0.51,
        "minConfidenceScore": 0.71,
        "minStopDistanceMultiplier": 1.6,
        "lastUpdated": 1,
        "maxDailyDrawdown": 0.05,
        "minEquity": 200,
    }.items():
        seen.add(parse_policy(default_raw() | {key: value}).hash)
    assert len(seen) == 15


def test_the_breaker_figures_at_their_defaults_keep_the_attested_hash() -> None:
    assert parse_policy(default_raw() | {"maxDailyDrawdown": 0.07, "minEquity": 150.0}).hash == DEFAULT_HASH


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"maxAccountLeverage": 101}, "maxAccountLeverage must be between 0 and 100, got 101"),
        ({"maxPositionNotional": -1}, "maxPositionNotional must be at least 0, got -1"),
        ({"maxDailyLoss": 1}, "maxDailyLoss must be at most 0, got 1"),
        ({"maxOpenOrdersPerSymbol": 2.5}, "maxOpenOrdersPerSymbol must be a whole number, got 2.5"),
        ({"maxCorrelation": 1.1}, "maxCorrelation must be between -1 and 1, got 1.1"),
        ({"minConfidenceScore": True}, "minConfidenceScore must be a finite number, got True"),
        ({"maxSlippageBps": float("nan")}, "maxSlippageBps must be a finite number, got nan"),
        ({"correlationPenalty": "0.5"}, "correlationPenalty must be a finite number, got '0.5'"),
        ({"version": 2}, "version must be 1, got 2"),
        ({"symbolWhitelist": "BTC/USDT"}, "symbolWhitelist must be a list of symbols"),
        ({"symbolWhitelist": [""]}, "symbolWhitelist must be a list of symbols"),
        ({"max_daily_loss": -5}, "maxDailyLoss is given twice"),
    ],
)
def test_a_value_out_of_range_is_named_with_what_is_allowed(change: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        parse_policy(default_raw() | change)


@pytest.mark.parametrize("key", sorted(default_raw()))
def test_a_policy_file_must_name_every_field(key: str, tmp_path: Path) -> None:
    raw = default_raw()
    del raw[key]
    path = tmp_path / "risk_policy.json"
    path.write_text(json.dumps(raw))
    with pytest.raises(ConfigError, match=f"{key} is missing"):
        load_policy(path)


def test_names_outside_the_schema_are_ignored() -> None:
    assert parse_policy(default_raw() | {"comment": "x"}).hash == DEFAULT_HASH


def test_an_empty_whitelist_is_kept_empty() -> None:
    assert parse_policy(default_raw() | {"symbolWhitelist": []}).symbol_whitelist == ()


def test_an_overlay_tightens_and_changes_the_hash() -> None:
    policy = load_policy(DEFAULT_FILE)
    tight = policy.tightened(
        {
            "maxAccountLeverage": 2,
            "max_daily_loss": -500,
            "minConfidenceScore": 0.8,
            "symbolWhitelist": ["BTC/USDT"],
            "minEquity": 200,
        }
    )
    assert (tight.max_account_leverage, tight.max_daily_loss) == (Decimal(2), Decimal(-500))
    assert (tight.min_confidence_score, tight.symbol_whitelist) == (0.8, ("BTC/USDT",))
    assert tight.hash != policy.hash
    assert tight.max_position_notional == policy.max_position_notional


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("maxAccountLeverage", 11),
        ("maxPositionNotional", 50_001),
        ("maxDailyLoss", -1001),
        ("maxOpenOrdersPerSymbol", 6),
        ("symbolWhitelist", ["BTC/USDT", "DOGE/USDT"]),
        ("maxSlippageBps", 101),
        ("maxStalenessMs", 5001),
        ("maxCorrelation", 0.71),
        ("correlationPenalty", 0.49),
        ("minConfidenceScore", 0.69),
        ("minStopDistanceMultiplier", 1.4),
        ("maxDailyDrawdown", 0.08),
        ("minEquity", 149),
    ],
)
def test_an_overlay_that_loosens_is_refused(key: str, value: object) -> None:
    with pytest.raises(ConfigError, match=f"{key} .* is looser than the policy's"):
        load_policy(DEFAULT_FILE).tightened({key: value})


def test_an_overlay_of_an_unknown_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="maxFun can't be overlaid; use one of: maxAccountLeverage"):
        load_policy(DEFAULT_FILE).tightened({"maxFun": 1})


def test_an_overlay_file_beside_the_policy_is_part_of_the_attested_hash(tmp_path: Path) -> None:
    path = tmp_path / "risk_policy.json"
    path.write_text(DEFAULT_FILE.read_text())
    (tmp_path / "risk_policy.overlay.json").write_text('{"maxPositionNotional": 5000}')
    policy = load_policy(path)
    assert policy.max_position_notional == 5000
    assert policy.hash == parse_policy(default_raw() | {"maxPositionNotional": 5000}).hash


@pytest.mark.parametrize(
    ("content", "sentence"), [("{", "is not valid JSON"), ("[]", "must hold one JSON object, got list")]
)
def test_a_file_that_is_no_policy_says_so(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "risk_policy.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=sentence):
        load_policy(path)


def test_a_directory_in_the_place_of_the_policy_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"can't be read: Is a directory"):
        load_policy(tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.json does not exist"):
        load_policy(tmp_path / "absent.json")
