"""Who may call what: bearer tokens and their roles over gRPC.

Guarantees: a refusal carries a google.rpc.ErrorInfo whose reason is a code.
Never: a method without a role.
"""

from __future__ import annotations

from typing import NoReturn

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as PackedAny
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from titan.roles import role_of, suffices
from titan.runtime import ApiTokens

DOMAIN = "titan"
STATUS_TRAILER = "grpc-status-details-bin"

NEEDED_ROLE: dict[str, str] = {
    "GetStatus": "observer",
    "ListPositions": "observer",
    "ListOrders": "observer",
    "ListTrades": "observer",
    "ListDecisions": "observer",
    "GetEquity": "observer",
    "ListActors": "observer",
    "GetPolicy": "observer",
    "WatchEvents": "observer",
    "WatchActors": "observer",
    "WatchEquity": "observer",
    "Arm": "operator",
    "Disarm": "operator",
    "Reduce": "operator",
    "Halt": "operator",
    "Resume": "operator",
    "FlattenAll": "operator",
    "RestartActor": "operator",
    "Reconcile": "operator",
    "SubmitManualIntent": "operator",
    "CancelOrder": "operator",
    "AmendOrder": "operator",
}


def role_of_metadata(metadata: grpc.aio.Metadata | None, tokens: ApiTokens) -> str | None:
    """The role of the call's bearer token, None when there is none that is known."""
    for key, value in metadata or ():
        if key.lower() != "authorization":
            continue
        return role_of(value.decode() if isinstance(value, bytes) else value, tokens)
    return None


async def refuse(
    context: grpc.aio.ServicerContext[object, object], status: grpc.StatusCode, reason: str, sentence: str
) -> NoReturn:
    """Ends the call with a status, a sentence and a machine-readable reason."""
    packed = PackedAny()
    packed.Pack(ErrorInfo(reason=reason, domain=DOMAIN))
    detail = Status(code=status.value[0], message=sentence, details=[packed])
    await context.abort(status, sentence, ((STATUS_TRAILER, detail.SerializeToString()),))
    raise AssertionError("abort always raises")


async def admit(context: grpc.aio.ServicerContext[object, object], method: str, tokens: ApiTokens) -> str:
    """The caller's role when it suffices for `method`; else the call ends UNAUTHENTICATED or PERMISSION_DENIED."""
    needed = NEEDED_ROLE[method]
    held = role_of_metadata(context.invocation_metadata(), tokens)
    if held is None:
        await refuse(
            context,
            grpc.StatusCode.UNAUTHENTICATED,
            "UNAUTHENTICATED",
            "a bearer token is needed: metadata `authorization: Bearer TOKEN` (see run/runtime.json of TITAN_HOME)",
        )
    if not suffices(held, needed):
        await refuse(
            context,
            grpc.StatusCode.PERMISSION_DENIED,
            "PERMISSION_DENIED",
            f"role {held} may not call {method}; {needed} may",
        )
    return held
