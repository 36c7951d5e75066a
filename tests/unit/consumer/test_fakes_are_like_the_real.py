"""The fakes of Kafka and of the ledger answer to the same calls as what they stand for."""

import inspect
import re
from collections.abc import Iterator

import pytest
from confluent_kafka import Consumer

from fake_kafka import FakeConsumer, FakeIdentity, FakeLedger
from trailhouse.broker.topic_identity import TopicIdentity
from trailhouse.consumer.batch.ledger import Ledger

OURS = {"tell", "ask"}
"""By which a test steers a fake."""


def methods_of(kind: type) -> Iterator[tuple[str, list[str]]]:
    """Yield the public methods of a fake, each with the names of its parameters."""
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and not name.startswith("_") and name not in OURS:
            yield name, list(inspect.signature(value).parameters)


@pytest.mark.parametrize(("name", "parameters"), list(methods_of(FakeConsumer)), ids=str)
def test_the_consumer(name: str, parameters: list[str]) -> None:
    """Each method of the fake is the library's, and its parameters are named in the library's own words."""
    real = getattr(Consumer, name)
    text = real.__doc__ or ""
    told = re.search(rf"{name}\((.*?)\)", text)
    known = told[1] if told is not None else ""  # the library describes no call without parameters
    for each in parameters[1:]:
        assert each in known or each == "callbacks", f"{name}({known}) has no {each}"


@pytest.mark.parametrize("name", ["on_assign", "on_revoke", "on_lost"])
def test_the_consumer_knows_these_callbacks(name: str) -> None:
    """What the fake takes as one mapping is a parameter each of the real."""
    assert name in (Consumer.subscribe.__doc__ or "")


@pytest.mark.parametrize(
    ("fake", "real"),
    [(FakeLedger, Ledger), (FakeIdentity, TopicIdentity)],
    ids=lambda each: each.__name__,
)
def test_ours(fake: type, real: type) -> None:
    """A fake of ours has no method that the real one lacks, and each takes the same parameters."""
    for name, parameters in methods_of(fake):
        assert parameters == list(inspect.signature(getattr(real, name)).parameters), name
