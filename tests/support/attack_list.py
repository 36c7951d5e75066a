"""Fills the list of attacks: each module of them is loaded once."""

import importlib.util
import sys
from pathlib import Path

from attack import ATTACKS

__all__ = ["ATTACKS"]

FOLDER = Path(__file__).parents[1] / "attacks"
MODULES = (
    "clickhouse_attacks",
    "kafka_attacks",
    "key_attacks",
    "harmless",
    "clickhouse_more",
    "harmless_more",
    "accepted_logs",
    "clickhouse_sly",
    "operator_attacks",
    "clickhouse_engine",
    "harmless_admin",
    "clickhouse_deep",
    "signed_attacks",
    "harmless_deep",
    "equivocation",
    "harmless_year",
    "clickhouse_hidden",
    "kept_anchors",
    "clickhouse_objects",
    "clickhouse_far",
    "moments",
    "moments_added",
    "harmless_far",
    "clickhouse_odd",
    "clickhouse_absurd",
    "clickhouse_standings",
    "proof_changes",
    "harmless_odd",
    "broker_attacks",
    "broker_harmless",
    "broker_odd",
)

for _name in MODULES:
    if _name not in sys.modules and (FOLDER / f"{_name}.py").exists():
        _spec = importlib.util.spec_from_file_location(_name, FOLDER / f"{_name}.py")
        assert _spec is not None
        assert _spec.loader is not None
        sys.modules[_name] = importlib.util.module_from_spec(_spec)
        _spec.loader.exec_module(sys.modules[_name])
