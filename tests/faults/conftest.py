"""The stage of every fault test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_scene import Scene, scene
from trailhouse.schemas import KafkaConfig
from trailhouse.store import ClickHouseConfig


@pytest.fixture
def stage(kafka: KafkaConfig, database: ClickHouseConfig, tmp_path: Path) -> Iterator[Scene]:
    """Return a fresh topic and database under the oracle's eyes, without workers and producers."""
    with scene(kafka, database, tmp_path) as ready:
        yield ready
