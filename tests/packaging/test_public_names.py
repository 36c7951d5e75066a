"""Public names are a budget: what a package exports is written down here, and changes on purpose."""

import importlib
import inspect
from pathlib import Path

import pytest

from trailhouse.schemas import errors

NAMES = {
    "producer": """
        AuditContext AuditLogger ConfigError Delivery DeliveryError DeliveryRejectedError
        DeliveryTimeoutError EventError EventTooLargeError InvalidEventError ProducerClosedError
        ProducerConfig QueueFullError Receipt SpoolDamagedError SpoolFullError SpoolUnavailableError Stats
        TrailhouseError telemetry""",
    "consumer": """
        BreakerTrippedError BrokerError BrokerRejectedError BrokerUnavailableError ConfigError
        EventError InvalidEventError OffsetGapError SchemaMismatchError SigningError StorageDataError
        StorageError StorageRejectedError StorageUnavailableError TrailhouseError
        UnreadableBatchError WorkerConfig WorkerStoppedError run_worker""",
    "query": """
        AlignedStep AlteredEvent Anomaly AnomalyReport AnomalyThresholds Answer Approval ApprovalReport
        AsyncAuditReader AsyncFollower AuditReader Book BookCosts Books Bucket ClickHouseConfig Comparison Condition
        ConfigError
        Conflict Cost CostReport DeliveryError DeliveryRejectedError DeliveryTimeoutError Difference
        EventQuarantinedError Facet FacetValue FIELDS Followed Follower FoundEvent IntegrityError
        LeftOut Overview Page ProducerClosedError QueryError ReadBudget ReaderConfig RecentSession
        RunSide RunSummary SchemaMismatchError SearchFilter SessionOutline SessionSummary
        SlowFollowerError SpoolDamagedError SqlAnswer Step StorageError StorageLimitError StorageRejectedError
        StorageUnavailableError Timeline TimelineRun TrailhouseError Turn UnaskedCall Usage UsageGroup
        UsageReport Words parse render
        ExportCheck ExportError ExportFormat ExportedFile Manifest check_export to_arrow to_pandas to_polars""",
    "store": """
        BATCH_LEDGER Block ClickHouse ClickHouseConfig ConfigError EVENT_LOG EVENT_QUARANTINE ProofError Result
        SchemaMismatchError StorageDataError StorageError StorageRejectedError
        StorageUnavailableError Table TrailhouseError""",
    "schemas": """
        Actor AnchorError AuditEvent BreakerTrippedError BrokerError BrokerRejectedError BrokerUnavailableError
        ComparisonError ConfigError DeliveryError DeliveryRejectedError DeliveryTimeoutError
        EventError EventQuarantinedError EventTooLargeError EventType ExportError IntegrityError
        InvalidEventError JournalError KafkaConfig OffsetGapError OffsetsExpiredError
        ProducerClosedError ProofError QueryError QueueFullError Run SchemaMismatchError Session SigningError
        SlowFollowerError Source
        SpoolDamagedError SpoolFullError SpoolUnavailableError StackError StorageDataError
        StorageError StorageLimitError StorageOverloadedError StorageRejectedError StorageUnavailableError
        TrailhouseError UnreadableBatchError WorkerStoppedError decode event_of""",
    "operate": """
        ExportError IntegrityError
        BrokerError BrokerRejectedError BrokerUnavailableError ConfigError DeliveryError KafkaState
        OffsetsExpiredError PipelineStatus ProofError QueryError Requeued SchemaMismatchError SigningError
        SpoolUnavailableError StorageError StorageRejectedError StorageUnavailableError StoreState
        TrailhouseError UnreadableBatchError pipeline_status requeue""",
    "access": """
        AccessConfig ConfigError DeliveryError Principal QueryError Read ReadAudit SCOPES SpoolFullError
        SpoolUnavailableError StorageError StorageLimitError StorageUnavailableError
        Token TokenStore TrailhouseError""",
    "attesting": "",
    "capture": "",
    "proof": "ConfigError ProofError SigningError TrailhouseError",
    "anchoring": "",
    "redaction": "ConfigError ContentConfig Finding RedactionConfig TrailhouseError",
    "api": "",
    "broker": "",
    "mcp": "",
    "cli": "",
    "devstack": """
        DevStack PART_NAMES PartName PartState PartStatus Ports StackError TrailhouseError ask_stack
        default_data_dir""",
}


def test_every_package_has_its_names_pinned() -> None:
    """A new package of ours is pinned too."""
    roots = Path(__file__).parents[2].glob("*/trailhouse/*/__init__.py")
    assert {file.parent.name for file in roots} == set(NAMES)


@pytest.mark.parametrize("package", NAMES)
def test_the_public_names_are_these_and_no_others(package: str) -> None:
    """An added or removed name is seen in review; each is there, and nothing else is in the module."""
    module = importlib.import_module(f"trailhouse.{package}")
    assert sorted(module.__all__) == sorted(NAMES[package].split())
    loose = {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert loose <= set(module.__all__)
    assert set(module.__all__) <= set(vars(module))


@pytest.mark.parametrize("package", NAMES)
def test_an_error_is_one_class_wherever_it_is_imported_from(package: str) -> None:
    """What is raised in one package is caught by the name of another, with whatever is above it."""
    module = importlib.import_module(f"trailhouse.{package}")
    for name in (each for each in module.__all__ if each.endswith("Error")):
        kind = getattr(module, name)
        assert kind is getattr(errors, name)
        assert {
            base.__name__ for base in kind.__mro__ if base.__module__ == errors.__name__
        } <= set(module.__all__)
