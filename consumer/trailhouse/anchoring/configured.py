"""What anchors, as the settings say: key, places, witnesses, authorities."""

from functools import partial

from trailhouse.anchoring.anchorer import Anchorer
from trailhouse.anchoring.day_manifests import due_manifests
from trailhouse.anchoring.log_signer import log_signer
from trailhouse.anchoring.places import writers_of
from trailhouse.proof.config import ProofConfig
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.policies import current_policy


def configured_anchorer(clickhouse: ClickHouse, config: ProofConfig) -> Anchorer:
    """Return what anchors the logs in *clickhouse*.

    Raises:
        SigningError: The key cannot be used. Retriable once mended.
        ConfigError: A setting is wrong. Permanent.
    """
    return Anchorer(
        clickhouse,
        log_name=config.log_name,
        signer=log_signer(config),
        writers=writers_of(config.anchors),
        policy=partial(current_policy, clickhouse, config),
        manifests=due_manifests(clickhouse, config.log_name),
    )
