"""Kafka and ClickHouse on this machine, from packages alone: what `trailhouse dev` and the tests run."""

from trailhouse.devstack.control import ask_stack
from trailhouse.devstack.data_folder import default_data_dir
from trailhouse.devstack.part import PartState, PartStatus
from trailhouse.devstack.ports import Ports
from trailhouse.devstack.stack import PART_NAMES, DevStack, PartName
from trailhouse.schemas.errors import StackError, TrailhouseError

__all__ = [
    "PART_NAMES",
    "DevStack",
    "PartName",
    "PartState",
    "PartStatus",
    "Ports",
    "StackError",
    "TrailhouseError",
    "ask_stack",
    "default_data_dir",
]
