"""An OpenTelemetry collector that keeps the metrics of Airflow's processes."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest


@dataclass(frozen=True)
class Point:
    """
    A value that one process has sent for one metric.

    :param name: name of the metric.
    :param tags: its tags.
    :param count: a counter's value, or the number of timed durations.
    :param total: the sum of the durations in milliseconds; None for a counter.
    """

    name: str
    tags: dict[str, str]
    count: int
    total: float | None = None


class MetricsCollector:
    """A context manager that listens on a free port of loopback for OTLP over HTTP."""

    def __init__(self) -> None:
        self._latest: dict[Any, Point] = {}
        points = self._latest

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                points.update(_points(ExportMetricsServiceRequest.FromString(body)))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def airflow_options(self, prefix: str) -> dict[str, str]:
        """
        Return Airflow's options for sending its metrics to this collector.

        Processes send their metrics every 5 s and when they end.

        :param prefix: prefix of the names of the metrics to send.
        """
        host, port = self._server.server_address[:2]
        return {
            "otel_on": "True",
            "otel_host": str(host),
            "otel_port": str(port),
            "otel_interval_milliseconds": "5000",
            "metrics_allow_list": prefix,
        }

    def points(self, name: str, **tags: str) -> list[Point]:
        """
        Return the latest value of a metric from each process.

        :param name: name of the metric.
        :param tags: all of its tags.
        """
        return [point for point in list(self._latest.values()) if (point.name, point.tags) == (name, tags)]


def _points(request: ExportMetricsServiceRequest) -> dict[Any, Point]:
    """Return the points by a key that stays the same when a process sends a later value."""
    found = {}
    metrics = [
        metric
        for resource in request.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
    ]
    for metric in metrics:
        for sample in metric.sum.data_points:
            point = Point(metric.name, _tags(sample), int(sample.as_int or sample.as_double))
            found[_key(point, sample)] = point
        for timed in (*metric.exponential_histogram.data_points, *metric.histogram.data_points):
            point = Point(metric.name, _tags(timed), timed.count, timed.sum)
            found[_key(point, timed)] = point
        # Airflow 3.1 sends only the last duration, as a gauge.
        for last in metric.gauge.data_points:
            point = Point(metric.name, _tags(last), 1, last.as_double or float(last.as_int))
            found[_key(point, last)] = point
    return found


def _key(point: Point, sample: Any) -> tuple[Any, ...]:
    return (point.name, *sorted(point.tags.items()), sample.start_time_unix_nano)


def _tags(sample: Any) -> dict[str, str]:
    return {attribute.key: attribute.value.string_value for attribute in sample.attributes}
