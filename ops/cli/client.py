"""The command's way to a running Titan: gRPC with the operator's token of `run/runtime.json`.

Guarantees: a refusal, a silence and an absence are three different errors with three exit codes. Never: a value made up
when nobody answers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar, cast

import grpc
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from protos import control_pb2 as pb
from protos.control_pb2_grpc import ControlStub
from titan.errors import ConfigError, ExitCode, NotRunning, Rejected, TimedOut, TitanError
from titan.runtime import Runtime

R = TypeVar("R", bound=Message)
TIMEOUT_S = 10.0
STATUS_TRAILER = "grpc-status-details-bin"


def home_of(home: Path | None) -> Path:
    """The TITAN_HOME in force, absolute."""
    return (home or Path(os.environ.get("TITAN_HOME") or ".titan")).absolute()


class NotFound(TitanError):
    """What was named does not exist."""

    exit_code = ExitCode.NOT_FOUND


def reason_of(error: grpc.RpcError) -> str:
    """The machine-readable reason of a refused call, empty when it has none."""
    for key, value in cast("grpc.Call", error).trailing_metadata() or ():
        if key == STATUS_TRAILER:
            for detail in Status.FromString(value).details:
                info = ErrorInfo()
                if detail.Unpack(info):
                    return str(info.reason)
    return ""


def translated(error: grpc.RpcError, address: str) -> TitanError:
    """The command's error for a gRPC status."""
    call = cast("grpc.Call", error)
    code, text = call.code(), call.details() or ""
    reason = reason_of(error)
    if code is grpc.StatusCode.UNAVAILABLE and not reason:
        return NotRunning(f"no gateway answers at {address}; is Titan running? try: titan doctor")
    if code is grpc.StatusCode.DEADLINE_EXCEEDED or reason == "NO_DECISION":
        return TimedOut(f"no answer from {address} in time: {text}")
    if code is grpc.StatusCode.NOT_FOUND:
        return NotFound(text)
    if code is grpc.StatusCode.INVALID_ARGUMENT:
        return ConfigError(text)
    if code in (grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.PERMISSION_DENIED):
        return Rejected(reason or code.name, text)
    if code is grpc.StatusCode.UNAUTHENTICATED:
        return Rejected("UNAUTHENTICATED", text)
    return TitanError(f"{code.name.lower()}: {text}")


class Client:
    """One connection to the gateway."""

    def __init__(self, runtime: Runtime, channel: grpc.Channel, address: str) -> None:
        self.runtime = runtime
        self.stub = ControlStub(channel)
        self._address = address
        token = runtime.api_tokens.risk_owner or runtime.api_tokens.operator or runtime.api_tokens.observer
        self.metadata = (("authorization", f"Bearer {token}"),)

    def call(self, method: Callable[..., R], request: Message, timeout_s: float = TIMEOUT_S) -> R:
        """One unary call. Raises the TitanError that fits the answer."""
        try:
            return method(request, timeout=timeout_s, metadata=self.metadata)
        except grpc.RpcError as error:
            raise translated(error, self._address) from None

    def status(self, timeout_s: float = TIMEOUT_S) -> pb.GetStatusResponse:
        """The whole status."""
        return self.call(self.stub.GetStatus, pb.GetStatusRequest(), timeout_s)


@contextmanager
def connect(home: Path | None) -> Iterator[Client]:
    """A client of the Titan under `home`. Raises NotRunning."""
    runtime = Runtime.load(home_of(home))
    address = f"127.0.0.1:{runtime.ports['gateway_grpc']}"
    with grpc.insecure_channel(address, options=(("grpc.enable_http_proxy", 0),)) as channel:
        yield Client(runtime, channel, address)
