"""All that `trailhouse init` sees to: topic, tables, the text index, and of proof the log's key and its policy."""

from trailhouse.operate.proof_keys.steps import apply_proof, plan_proof
from trailhouse.operate.setup import Report, Step, apply_init, plan_init
from trailhouse.operate.text_index import apply_text_index, plan_text_index
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.config import ClickHouseConfig


def plan_setup(
    kafka: KafkaConfig,
    clickhouse: ClickHouseConfig,
    proof: ProofConfig,
    *,
    with_text_index: bool = False,
) -> tuple[Step, ...]:
    """Return what `set_up` would do; nothing is changed.

    Raises:
        BrokerError, StorageError: As `trailhouse.operate.setup.plan_init`.
        ConfigError, SigningError: As `trailhouse.operate.proof_keys.steps.apply_proof`.
    """
    return (
        *plan_init(kafka, clickhouse),
        *plan_text_index(clickhouse, is_wanted=with_text_index),
        *plan_proof(clickhouse, proof),
    )


def set_up(
    kafka: KafkaConfig,
    clickhouse: ClickHouseConfig,
    proof: ProofConfig,
    report: Report = lambda step: None,
    *,
    with_text_index: bool = False,
) -> tuple[Step, ...]:
    """Make what is missing and return what was done; safe to run again and from two processes.

    Raises:
        BrokerError, StorageError: As `trailhouse.operate.setup.apply_init`, and of `apply_text_index`.
        ConfigError, SigningError: As `trailhouse.operate.proof_keys.steps.apply_proof`.
    """
    return (
        *apply_init(kafka, clickhouse, report),
        *apply_text_index(clickhouse, is_wanted=with_text_index, report=report),
        *apply_proof(clickhouse, proof),
    )
