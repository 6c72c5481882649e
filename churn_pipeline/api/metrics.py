"""What Prometheus is told. No label names a customer, and there are only as many series as there are routes and statuses."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from churn_pipeline.api.publications import Lease

MEDIA_TYPE = CONTENT_TYPE_LATEST
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)


class Metrics:
    """Counters of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        self._requests = Counter(
            "churn_api_requests", "Requests that were answered.", ("route", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "churn_api_request_seconds",
            "How long an answer took, without the network.",
            ("route",),
            buckets=_SECONDS,
            registry=self._registry,
        )

    def count(self, route: str, status: int, seconds: float) -> None:
        """Notes a request.

        Args:
            route: its template, as ``/v1/customers/{customer_id}``.
            status: of the answer.
            seconds: that it took.
        """
        self._requests.labels(route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def text(self, lease: Lease | None) -> bytes:
        """All of it, as Prometheus reads it.

        Args:
            lease: what is answered from at the moment; None where nothing can be.
        """
        published = CollectorRegistry()
        published.register(_OfPublication(lease))
        return generate_latest(self._registry) + generate_latest(published)


class _OfPublication(Collector):
    def __init__(self, lease: Lease | None) -> None:
        self._lease = lease

    def collect(self) -> Iterator[GaugeMetricFamily]:
        yield GaugeMetricFamily(
            "churn_api_ready", "1 where a publication can be read, else 0.", value=float(self._lease is not None)
        )
        if self._lease is None:
            return
        yield GaugeMetricFamily(
            "churn_api_publication_age_seconds",
            "How long ago the published database was written.",
            value=max(time.time() - self._lease.published_at, 0.0),
        )
        newest = self._lease.publication.snapshot_dates[-1]
        yield GaugeMetricFamily(
            "churn_api_publication_snapshot_date_seconds",
            "00:00 UTC of the newest published Monday, seconds since 1970.",
            value=float(calendar.timegm(newest.timetuple())),
        )
