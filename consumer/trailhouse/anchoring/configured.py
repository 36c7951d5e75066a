"""What anchors, as the settings say: key, places, witnesses, authorities."""

from collections.abc import Sequence
from functools import partial

from trailhouse.anchoring.anchorer import Anchorer, Countersigner
from trailhouse.anchoring.day_manifests import due_manifests
from trailhouse.anchoring.log_signer import log_signer
from trailhouse.anchoring.places import writers_of
from trailhouse.anchoring.witness.client import WitnessClient
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import ConfigError
from trailhouse.store.clickhouse import ClickHouse
from trailhouse.store.erasures import ordered_erasures
from trailhouse.store.policies import current_policy


def configured_anchorer(clickhouse: ClickHouse, config: ProofConfig) -> Anchorer:
    """Return what anchors the logs in *clickhouse*.

    Raises:
        SigningError: The key cannot be used. Retriable once mended.
        ConfigError: A setting is wrong. Permanent.
    """
    signer = log_signer(config)

    def witnesses() -> Sequence[str]:
        policy = current_policy(clickhouse, config)
        return policy.witnesses if policy is not None else ()

    return Anchorer(
        clickhouse,
        log_name=config.log_name,
        signer=signer,
        countersigners=[
            *(
                WitnessClient(url, clickhouse, signer, witnesses)
                for url in _urls(config.witness_urls)
            ),
            *_authorities(clickhouse, config),
        ],
        erased=partial(ordered_erasures, clickhouse, config),
        writers=writers_of(config.anchors),
        policy=partial(current_policy, clickhouse, config),
        manifests=due_manifests(clickhouse, config.log_name),
    )


def _authorities(clickhouse: ClickHouse, config: ProofConfig) -> list[Countersigner]:
    urls = _urls(config.timestamp_urls)
    if not urls:
        return []
    try:
        from trailhouse.anchoring.timestamps import TimestampClient
    except ModuleNotFoundError:
        raise ConfigError(
            "proof.timestamp_urls: needs `pip install 'trailhouse[timestamp]'`"
        ) from None
    return [TimestampClient(url, partial(current_policy, clickhouse, config)) for url in urls]


def _urls(text: str) -> list[str]:
    urls = [url for each in text.split(",") if (url := each.strip())]
    if not all(url.startswith(("https://", "http://")) for url in urls):
        raise ConfigError("proof.witness_urls, proof.timestamp_urls: each must begin with https://")
    return urls
