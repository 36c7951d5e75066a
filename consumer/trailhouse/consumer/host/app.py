"""The Faust app: host of the ingest loop, of /health and of /metrics.

``faust -A trailhouse.consumer.host.app worker`` and ``trailhouse worker`` both run it. Faust's own Kafka
consumer stays off: an agent can commit an offset before its batch is stored.
"""

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import faust
import structlog
from faust.app.base import BootStrategy
from faust.web import Request, Response, View
from mode import Service
from prometheus_client import CONTENT_TYPE_LATEST

from trailhouse.consumer.config import WorkerConfig
from trailhouse.consumer.host.process import WorkerProcess
from trailhouse.consumer.membership.ingest import Ingest
from trailhouse.consumer.monitoring.health import Health
from trailhouse.consumer.monitoring.metrics import WorkerMetrics
from trailhouse.consumer.monitoring.watchdog import INGEST_THREAD
from trailhouse.proof.config import ProofConfig
from trailhouse.schemas.errors import TrailhouseError
from trailhouse.schemas.kafka_config import KafkaConfig
from trailhouse.store.config import ClickHouseConfig


class WithoutKafka(BootStrategy):
    """Starts Faust's web server and our services, and nothing that speaks to Kafka."""

    enable_kafka = False


class UnsampledMonitor(faust.Monitor):
    """Faust's own statistics, which nobody reads: of agents and tables, and there are none."""

    @Service.task
    async def _sampler(self) -> None:
        """Take no sample; Faust would wake up each second for one."""


class TrailhouseApp(faust.App):
    """A Faust app without agents, tables, or files on the disk."""

    BootStrategy = WithoutKafka
    mundane_level = "debug"
    on_failure: Callable[[BaseException], None]

    def __init__(
        self,
        worker: WorkerConfig,
        kafka: KafkaConfig,
        clickhouse: ClickHouseConfig,
        proof: ProofConfig,
    ) -> None:
        super().__init__(
            "trailhouse",
            broker="kafka://" + kafka.bootstrap_servers.replace(",", ";kafka://"),
            Worker=WorkerProcess,
            Monitor=UnsampledMonitor,
            autodiscover=False,
            web_bind=worker.web_host,
            web_host=worker.web_host,
            web_port=worker.web_port,
            web_router_enabled=False,
            web_tables_enabled=False,
            worker_redirect_stdouts=False,
        )
        self.worker_config = worker
        self.health = Health()
        self.metrics = WorkerMetrics()
        self.ingest = Ingest(
            kafka=kafka,
            clickhouse=clickhouse,
            worker=worker,
            proof=proof,
            health=self.health,
            metrics=self.metrics,
        )

    def _create_directories(self) -> None:
        """Make none: without tables Faust has nothing to keep."""


app = TrailhouseApp(WorkerConfig(), KafkaConfig(), ClickHouseConfig(), ProofConfig())


@app.service
class IngestService(Service):
    """Runs the ingest loop in a thread; stopping waits for its drain."""

    mundane_level = "debug"

    async def on_start(self) -> None:
        """Start the thread."""
        self._events = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name=INGEST_THREAD)
        self._thread.start()

    async def on_stop(self) -> None:
        """Let the loop drain; the deadline is the process's (see `WorkerProcess`)."""
        app.ingest.stop()
        await asyncio.to_thread(self._thread.join)

    def _run(self) -> None:
        log = structlog.get_logger("trailhouse.worker")
        try:
            app.ingest.run()
        except TrailhouseError as error:
            log.error("stopped", reason=str(error))
            self._events.call_soon_threadsafe(app.on_failure, error)
        except BaseException as error:
            log.exception("stopped by a mistake in the program; nothing uncommitted is lost")
            self._events.call_soon_threadsafe(app.on_failure, error)
            raise


@app.page("/health")
class HealthView(View):
    """200 when records can flow, else 503 with the reason."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer as JSON."""
        app.health.note_asked()
        return self.json(app.health.report(), status=200 if app.health.is_ready else 503)


@app.page("/metrics")
class MetricsView(View):
    """Every series in Prometheus' text format."""

    async def get(self, request: Request, **_: Any) -> Response:
        """Answer as text."""
        app.health.note_asked()
        text = app.metrics.text(is_ready=app.health.is_ready, warnings=app.health.warnings)
        return self.bytes(text, content_type=None, headers={"Content-Type": CONTENT_TYPE_LATEST})
