"""The errors of boto3, as those of staging."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError

from polytope_server.staging import StagingUnavailableError

_MISSING = frozenset({"404", "NoSuchKey", "NotFound"})
#: Of a server that does not know an operation, or an account that may not use it.
_LACKING = frozenset(
    {"NotImplemented", "XNotImplemented", "MethodNotAllowed", "405", "501", "AccessDenied", "403"}
)
_REASONS = {
    "EndpointConnectionError": "it cannot be reached",
    "ConnectTimeoutError": "it cannot be reached",
    "ReadTimeoutError": "it does not answer in time",
    "ConnectionClosedError": "the connection broke off",
    "IncompleteReadError": "the connection broke off",
    "ResponseStreamingError": "the connection broke off",
    "SSLError": "no secure connection could be made; is its certificate known here (AWS_CA_BUNDLE)?",
    "NoCredentialsError": "there are no credentials; set access_key and secret_key",
    "PartialCredentialsError": "the credentials are not complete; set access_key and secret_key",
}


class S3RefusedError(StagingUnavailableError):
    """S3 answered a call with an error. `code` is its name, or the status where there is no name."""

    def __init__(self, text: str, code: str) -> None:
        super().__init__(text)
        self.code = code

    @property
    def missing(self) -> bool:
        """Whether what was asked for does not exist."""
        return self.code in _MISSING

    @property
    def lacking(self) -> bool:
        """Whether this server does not know the operation, or does not allow it: it never will."""
        return self.code in _LACKING


def translate(error: ClientError | BotoCoreError, operation: str, bucket: str) -> StagingUnavailableError:
    """The error of staging for one of boto3; `bucket` says which bucket it is, and where."""
    if isinstance(error, ClientError):
        answer = error.response.get("Error", {})
        code, message = str(answer.get("Code", "unknown")), answer.get("Message", "")
        return S3RefusedError(f"{bucket} refused {operation}: {code} ({message})", code)
    # The texts of boto3 hold addresses of objects, which are secrets of their owners.
    kind = type(error).__name__
    return StagingUnavailableError(f"{operation} on {bucket} failed: {_REASONS.get(kind, kind)}")
