"""What the clients of remote stores raise, to one-line `OSError`s that name the URL, what happened and what to do.

Knows the shapes of their errors (aiohttp, botocore, gcsfs, huggingface_hub), not the clients: none is imported.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

SECONDS_TO_CONNECT = 30.0
SECONDS_TO_WAIT = 120.0
"""For the next bytes over HTTP; a file as a whole may take as long as it takes."""

_UNREACHED = ("ClientConnectorError", "EndpointConnectionError", "ConnectError", "ConnectionError", "gaierror")
_NO_CREDENTIALS = ("NoCredentials", "CredentialRetrieval", "DefaultCredentials", "RefreshError", "LocalTokenNotFound")
_TIMEOUTS = ("Timeout",)
_DENIED = (
    "access denied{}: give credentials that may read it (for s3:// as for aws, gs:// as for gcloud, hf:// as for hf)"
)


def options_of(url: str) -> dict[str, Any]:
    """What fsspec is to be told for a URL: limits of time over HTTP, where the default gives a whole file 5 minutes."""
    if not url.startswith(("http://", "https://")):
        return {}
    import aiohttp

    limits = aiohttp.ClientTimeout(total=None, sock_connect=SECONDS_TO_CONNECT, sock_read=SECONDS_TO_WAIT)
    return {"client_kwargs": {"timeout": limits}}


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Raise what a client raises within as an `OSError`: `FileNotFoundError` if there is no such file, and
    `PermissionError`, `TimeoutError` or `ConnectionError` where it is that."""
    try:
        yield
    except Exception as error:
        raise explain(url, error) from error


def explain(url: str, error: BaseException) -> OSError:
    """The `OSError` for what a client raised. fsspec takes many errors for a missing file; their causes tell."""
    chain = list(_chain(error))
    statuses = [status for cause in chain if (status := _status(cause)) is not None]
    if statuses:
        return _of_status(url, statuses[-1])
    if _is_any(chain, _NO_CREDENTIALS):
        return PermissionError(f"{url}: {_DENIED.format(': no credentials were found')}")
    if any(isinstance(cause, PermissionError) for cause in chain):
        return PermissionError(f"{url}: {_DENIED.format('')}")
    if any(isinstance(cause, TimeoutError) for cause in chain) or _is_any(chain, _TIMEOUTS):
        return TimeoutError(f"{url}: no answer in time; is the store up and the network? run again to go on")
    if any(isinstance(cause, ConnectionError) for cause in chain) or _is_any(chain, _UNREACHED):
        return ConnectionError(f"{url}: no connection ({_line(chain[-1])}); check the host's name, port and network")
    if isinstance(error, FileNotFoundError) and not _is_any(chain, ("ClientError",)):
        return FileNotFoundError(f"{url}: no such file")
    return OSError(f"{url}: reading or writing failed ({_line(chain[-1])}); run again")


def _of_status(url: str, status: int) -> OSError:
    match status:
        case 404 | 410:
            return FileNotFoundError(f"{url}: no such file (the server answered {status})")
        case 401 | 403 | 407:
            return PermissionError(f"{url}: {_DENIED.format(f' (the server answered {status})')}")
        case 429:
            return OSError(f"{url}: too many requests (the server answered 429); run again later, with fewer workers")
        case _:
            todo = "run again later" if status >= 500 else "check the URL"
            return OSError(f"{url}: the server answered {status}; {todo}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it, as far back as is known."""
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:
        seen.append(following)
        yield following
        following = following.__cause__ or following.__context__


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error carries, in whichever of the clients' ways."""
    response: Any = getattr(error, "response", None)
    if isinstance(response, dict):  # botocore
        found = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    else:
        holder, name = next(
            ((o, n) for o, n in ((response, "status_code"), (error, "status"), (error, "code")) if hasattr(o, n)),
            (error, ""),
        )
        found = getattr(holder, name, None)
    return int(found) if re.fullmatch(r"[1-5]\d\d", str(found)) else None


def _is_any(chain: list[BaseException], names: tuple[str, ...]) -> bool:
    classes = [kind.__name__ for cause in chain for kind in type(cause).__mro__]
    return any(name in kind for kind in classes for name in names)


def _line(error: BaseException) -> str:
    """An error in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]
