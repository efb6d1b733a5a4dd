"""Does it answer? One function a kind of service; each returns within seconds and never raises for one that is down."""

import json
import urllib.error
import urllib.request
from typing import Any

ANSWER_SECONDS = 5.0
_opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # a proxy has no business between us and this machine


def http_answers(url: str) -> bool:
    """Return whether GET answers 200."""
    try:
        with _opener.open(url, timeout=ANSWER_SECONDS) as answer:
            return answer.status == 200
    except (OSError, ValueError):
        return False


def post_json(url: str, body: dict[str, Any], timeout_seconds: float) -> dict[str, Any]:
    """Return the JSON answer of a POST; raises OSError when there is none, ValueError when it is not JSON."""
    data = json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})  # noqa: S310
    try:
        with _opener.open(request, timeout=timeout_seconds) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def code_server_answers(target: str) -> bool:
    """Return whether the gRPC server at `unix:/path` or `host:port` says that it serves."""
    import grpc
    from grpc_health.v1 import health_pb2, health_pb2_grpc

    try:
        with grpc.insecure_channel(target) as channel:
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=ANSWER_SECONDS)
    except grpc.RpcError:
        return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING
