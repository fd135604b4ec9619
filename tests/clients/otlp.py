"""A receiver of OTLP over HTTP, made of OpenTelemetry's own messages as Google's protobuf reads them.

Prints its URL, then takes pushes until its standard input ends, and prints the last values and all spans as JSON. Answers 400, so
that the pusher complains, to what is no message, what is not cumulative, a counter that goes back, or buckets that do not add up.
"""

import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AGGREGATION_TEMPORALITY_CUMULATIVE

values, names, spans, headers = {}, set(), [], set()


def labels(attributes):
    return ",".join(f"{attribute.key}={attribute.value.string_value}" for attribute in attributes)


def prometheus(metric, monotonic):
    """The name as https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/ makes it."""
    return metric.name.replace(".", "_") + {"s": "_seconds", "": ""}[metric.unit] + ("_total" if monotonic else "")


def take_metric(metric):
    kind = metric.WhichOneof("data")
    data = getattr(metric, kind)
    if kind in ("sum", "histogram"):
        assert data.aggregation_temporality == AGGREGATION_TEMPORALITY_CUMULATIVE, metric.name
    monotonic = kind == "sum" and data.is_monotonic
    names.add(prometheus(metric, monotonic))
    for point in data.data_points:
        if kind == "histogram":
            assert len(point.bucket_counts) == len(point.explicit_bounds) + 1, metric.name
            assert sum(point.bucket_counts) == point.count, metric.name
            value = point.count
        else:
            value = getattr(point, point.WhichOneof("value"))
        if kind != "gauge":
            assert 0 < point.start_time_unix_nano <= point.time_unix_nano, metric.name
        key = f"{metric.name} {labels(point.attributes)}"
        assert kind == "gauge" or value >= values.get(key, 0), f"{key} went back"
        values[key] = value


def take_span(span):
    spans.append(
        {
            "name": span.name,
            "trace": span.trace_id.hex(),
            "id": span.span_id.hex(),
            "parent": span.parent_span_id.hex(),
            "from": span.start_time_unix_nano,
            "to": span.end_time_unix_nano,
            "status": span.status.code,
            "message": span.status.message,
            "events": [event.name for event in span.events],
            "attributes": labels(span.attributes),
        }
    )


def take(path, body):
    whole = {"/v1/metrics": ExportMetricsServiceRequest, "/v1/traces": ExportTraceServiceRequest}[path].FromString(body)
    for resource in whole.resource_metrics if path == "/v1/metrics" else whole.resource_spans:
        assert "service.name=voteburst" in labels(resource.resource.attributes), resource
        for scope in resource.scope_metrics if path == "/v1/metrics" else resource.scope_spans:
            for one in scope.metrics if path == "/v1/metrics" else scope.spans:
                (take_metric if path == "/v1/metrics" else take_span)(one)


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers.add(self.headers.get("x-team"))
        try:
            assert self.headers["content-type"] == "application/x-protobuf", self.headers
            take(self.path, body)
            self.send_response(200)
            said = b""
        except Exception as problem:
            self.send_response(400)
            said = repr(problem).encode()
        self.send_header("content-length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
print(f"http://127.0.0.1:{server.server_port}", flush=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
sys.stdin.read()
print(json.dumps({"values": values, "names": sorted(names), "spans": spans, "headers": sorted(map(str, headers))}))
