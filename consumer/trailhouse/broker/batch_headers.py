"""Looks at one batch of a partition as the broker holds it: its header alone is read, nothing is opened.

librdkafka hands out records and no batches: of one that it cannot open, it tells neither the end nor the
size. aiokafka, which Faust brings along, speaks the fetch protocol; it is used for such a batch alone.
"""

import asyncio
import ssl
import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import confluent_kafka

from trailhouse.schemas.errors import BrokerError, BrokerRejectedError, BrokerUnavailableError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.schemas.kafka_errors import broker_error
from trailhouse.schemas.record_hash import record_hash

HEAD_BYTES = 32_768
FETCH_BYTES = 4_194_304
WAIT_MS = 500
MAGIC = 2
CODECS = ("none", "gzip", "snappy", "lz4", "zstd")
_LOG_APPEND_TIME = 0x08
# KIP-98: base offset, length, leader epoch, magic, crc, attributes, last offset delta, first and last
# timestamp, producer id, epoch and sequence, number of records.
_HEADER = struct.Struct(">qiibIhiqqqhii")
_AFTER_LENGTH = struct.calcsize(">qi")
_CRC_BEGINS = struct.calcsize(">qiibI")


class RawBatch(NamedTuple):
    """A batch's header; both offsets inclusive.

    `is_sound` says that its bytes are those that its checksum was made of. Where they are not, the
    header may be wrong too: `last_offset` is then proven by what follows, the next batch or the end of
    the log, or it is None. `is_broker_time` says that `appended_ms` is of all its records, by the broker's
    clock, and not the latest that its sender has given.
    """

    first_offset: int
    last_offset: int | None
    records: int
    appended_ms: int
    codec: str
    size_bytes: int
    digest: bytes
    head: bytes
    is_sound: bool
    is_broker_time: bool = True


def batch_at(
    kafka: KafkaConfig, partition: int, offset: int, *, timeout_seconds: float
) -> RawBatch | None:
    """Return the batch that holds *offset*, or the next one; None when there is none.

    Blocks; runs an event loop of its own, so call it in a thread without one.

    Raises:
        BrokerUnavailableError: Kafka does not answer in time. Retriable.
        BrokerRejectedError: It refuses, or the way to it is one that aiokafka does not know. Permanent.
    """
    [(content, end)] = _all_fetched(kafka, {partition: offset}, FETCH_BYTES, timeout_seconds)
    return first_batch(content, offset, end)


def batches_at(
    kafka: KafkaConfig, offsets: Mapping[int, int], *, timeout_seconds: float
) -> dict[int, RawBatch]:
    """Return the batch of each partition that holds its offset, where there is one; as `batch_at`."""
    # Kafka answers with the first batch as a whole, however little is asked for.
    fetched = _all_fetched(kafka, offsets, 1, timeout_seconds)
    found = {
        partition: first_batch(content, offset, end)
        for (partition, offset), (content, end) in zip(offsets.items(), fetched, strict=True)
    }
    return {partition: batch for partition, batch in found.items() if batch is not None}


def _all_fetched(
    kafka: KafkaConfig, offsets: Mapping[int, int], size_bytes: int, timeout_seconds: float
) -> list[tuple[bytes, int]]:
    fetch = _fetched(kafka, offsets, size_bytes)
    try:
        return asyncio.run(asyncio.wait_for(fetch, timeout_seconds))
    except TimeoutError as error:
        raise BrokerUnavailableError(
            f"Kafka at {kafka.bootstrap_servers} does not answer (a raw fetch): try again later"
        ) from error


def first_batch(content: bytes, offset: int, end: int) -> RawBatch | None:
    """Return the first batch that ends at or above *offset*, of what a fetch has brought from a log up to *end*."""
    batches = _batches(content)
    for place, size in batches:
        header = _HEADER.unpack_from(content, place)
        base, _, _, _, crc, attributes, delta, _, last_ms, _, _, _, records = header
        body = memoryview(content)[place : place + size]
        is_sound = _crc32c(bytes(body[_CRC_BEGINS:])) == crc
        last = base + delta
        if is_sound and last < offset:
            continue
        following = next(batches, None)
        if not is_sound:
            is_end = following is None and place + size == len(content) < FETCH_BYTES
            if not (is_end and last == end - 1):
                last = _proven_last(content, base, following)
        return RawBatch(
            first_offset=base,
            last_offset=last,
            records=records if is_sound or last is None else last - base + 1,
            appended_ms=last_ms if is_sound else 0,
            codec=CODECS[attributes & 7] if attributes & 7 < len(CODECS) else "unknown",
            size_bytes=size,
            digest=record_hash(body),
            head=bytes(body[:HEAD_BYTES]),
            is_sound=is_sound,
            is_broker_time=bool(attributes & _LOG_APPEND_TIME),
        )
    return None


def _proven_last(content: bytes, base: int, following: tuple[int, int] | None) -> int | None:
    """Return the last offset of a damaged batch, from the sound one that follows it."""
    if following is None:
        return None
    place, size = following
    header = _HEADER.unpack_from(content, place)
    is_sound = _crc32c(content[place + _CRC_BEGINS : place + size]) == header[4]
    return int(header[0]) - 1 if is_sound and header[0] > base else None


def _batches(content: bytes) -> Iterator[tuple[int, int]]:
    """Yield place and size of each whole batch in *content*."""
    place = 0
    while place + _HEADER.size <= len(content):
        header = _HEADER.unpack_from(content, place)
        size = header[1] + _AFTER_LENGTH
        if header[3] != MAGIC or size < _HEADER.size or place + size > len(content):
            return
        yield place, size
        place += size


def _crc32c(content: bytes) -> int:
    from aiokafka.record.util import calc_crc32c

    return int(calc_crc32c(content))


async def _fetched(
    kafka: KafkaConfig, offsets: Mapping[int, int], size_bytes: int
) -> list[tuple[bytes, int]]:
    from aiokafka.client import AIOKafkaClient
    from aiokafka.errors import BrokerResponseError, KafkaError

    try:
        client = AIOKafkaClient(**_options(kafka))
    except (ValueError, OSError) as error:
        raise BrokerRejectedError(
            f"a batch cannot be looked at with these settings of Kafka ({type(error).__name__}):"
            " pass it by with `trailhouse skip`",
            "_INVALID_ARG",
        ) from error
    try:
        await client.bootstrap()
        client.set_topics([kafka.topic])
        await client.force_metadata_update()
        return [
            await _answer(client, kafka, partition, offset, size_bytes)
            for partition, offset in offsets.items()
        ]
    except BrokerResponseError as error:
        raise _refused(kafka, next(iter(offsets)), error.errno) from error
    except KafkaError as error:
        raise BrokerUnavailableError(
            f"Kafka at {kafka.bootstrap_servers} does not answer a raw fetch"
            f" ({type(error).__name__}): try again later"
        ) from error
    finally:
        await client.close()


async def _answer(
    client: Any, kafka: KafkaConfig, partition: int, offset: int, size_bytes: int
) -> tuple[bytes, int]:
    from aiokafka.protocol.fetch import FetchRequest
    from aiokafka.structs import TopicPartition

    leader = client.cluster.leader_for_partition(TopicPartition(kafka.topic, partition))
    if leader is None or leader == -1 or not await client.ready(leader):
        raise BrokerUnavailableError(f"partition {partition} has no leader: try again later")
    wanted = [(kafka.topic, [(partition, offset, size_bytes)])]
    answer = await client.send(leader, FetchRequest(WAIT_MS, 1, size_bytes, 0, wanted))
    return _content(kafka, answer, partition)


def _content(kafka: KafkaConfig, answer: Any, partition: int) -> tuple[bytes, int]:
    """Return the bytes of *partition*, and where its log ends for consumers."""
    for _, partitions in answer.topics:
        for found in partitions:
            number, code, end, content = found[0], found[1], found[2], found[-1]
            if number == partition and code:
                raise _refused(kafka, partition, code)
            if number == partition:
                return bytes(content or b""), end
    return b"", -1


def _refused(kafka: KafkaConfig, partition: int, code: int) -> BrokerError:
    """Return what *code* means, which is Kafka's own and so librdkafka's too."""
    where, what = kafka.bootstrap_servers, f"partition {partition}"
    return broker_error(confluent_kafka.KafkaError(code), where, kafka.topic, what)


def _options(kafka: KafkaConfig) -> dict[str, Any]:
    """Return what reaches the same cluster as `KafkaConfig.client_options`, in aiokafka's words."""
    options: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "client_id": "trailhouse-raw-fetch",
        "security_protocol": kafka.security_protocol.upper(),
    }
    if kafka.security_protocol.endswith("ssl"):
        context = ssl.create_default_context(cafile=kafka.ssl_ca_location or None)
        if kafka.ssl_certificate_location:
            context.load_cert_chain(
                kafka.ssl_certificate_location,
                kafka.ssl_key_location,
                kafka.ssl_key_password or None,
            )
        options["ssl_context"] = context
    if kafka.security_protocol.startswith("sasl"):
        options |= {
            "sasl_mechanism": kafka.sasl_mechanism,
            "sasl_plain_username": kafka.sasl_username or None,
            "sasl_plain_password": kafka.sasl_password or None,
        }
    return options
