"""Clients of AWS: short timeouts, retries with jitter, and errors that say what happened and what to do."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    CredentialRetrievalError,
    NoCredentialsError,
    ParamValidationError,
    SSOError,
)

from pipelines.storage.ports import Unavailable

_CREDENTIALS = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "InvalidAccessKeyId", "InvalidClientTokenId"}
_CREDENTIALS |= {"UnrecognizedClientException", "InvalidSignatureException", "SignatureDoesNotMatch"}
_DENIED = {"AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403"}
_GONE = {"NoSuchBucket", "ResourceNotFoundException", "NotFoundException", "AWS.SimpleQueueService.NonExistentQueue"}
_BUSY = {"Throttling", "ThrottlingException", "ThrottledException", "RequestThrottledException", "RequestThrottled"}
_BUSY |= {"TooManyRequestsException", "ProvisionedThroughputExceededException", "RequestLimitExceeded", "SlowDown"}
_BUSY |= {"LimitExceededException", "PriorRequestNotComplete", "KMSInternalException", "InternalError"}


def client(
    session: boto3.Session, service: str, endpoint_url: str | None, *, attempts: int = 18, seconds: float = 20
) -> Any:
    """Return a client that tries up to ``attempts`` times and waits ``seconds`` for each answer.

    Retries are those of botocore's standard mode: for throttling, timeouts, lost connections and server errors, after
    random waits that double up to 20 s. 18 attempts last about 90 s.
    """
    config = Config(
        connect_timeout=min(3.0, seconds),
        read_timeout=seconds,
        retries={"mode": "standard", "total_max_attempts": attempts},
        max_pool_connections=64,
    )
    return session.client(service, endpoint_url=endpoint_url, config=config)


@contextmanager
def asking(service: str) -> Iterator[None]:
    """Turn a service's refusals and failures into :class:`Unavailable`; an invalid request stays an error.

    Raises:
        Unavailable: without valid credentials or permission, for a missing resource, and when the service is busy,
            failing or out of reach.
    """
    try:
        yield
    except ClientError as error:
        if told := _explained(error):
            raise Unavailable(f"{service} {error.operation_name}: {told}") from error
        raise
    except ParamValidationError:
        raise
    except (NoCredentialsError, CredentialRetrievalError, SSOError) as error:
        raise Unavailable(f"{service} needs credentials: {error} {_LOG_IN}") from error
    except BotoCoreError as error:
        raise Unavailable(f"{service} cannot be reached ({error}); ask again later") from error


_LOG_IN = "Sign in to AWS again, for example by 'aws sso login'"


def _explained(error: ClientError) -> str | None:
    code, message = error.response["Error"].get("Code", ""), error.response["Error"].get("Message", "")
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _CREDENTIALS:
        return f"the credentials are not valid or have expired ({code}). {_LOG_IN}"
    if code in _DENIED:
        return f"this role may not ({message}); use another, or have the stack grant it"
    if code in _GONE:
        return f"what the stack's document names is not there ({code}: {message}); run 'pulumi up' for the environment"
    if code in _BUSY or status == 429 or status >= 500:
        return f"it is busy or failing ({code}); ask again later"
    return None
