"""The result at the peer, or where the peer has put it: continued where it broke off, and checked."""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Callable, Iterator, Mapping

from polytope_server.datasource import DataSourceError, TemporaryError
from polytope_server.datasource.federated.errand import Errand
from polytope_server.datasource.federated.peer import Answer, Peer
from polytope_server.datasource.upstream import BREAKS, media_type
from polytope_server.staging.checksums import announced_md5

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
_MOST_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Breaks of the connection without a byte in between, after which this attempt has failed.
_MOST_BREAKS = 5
_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_BROKE_OFF = "The result of {name} broke off."


class Download:
    """The bytes of one result."""

    def __init__(self, errand: Errand, peer: Peer, ended: Answer) -> None:
        """`ended` is the answer that says that the request was processed, or that has the data itself.

        Raises DataSourceError and TemporaryError.
        """
        self._errand, self._peer, self._name = errand, peer, peer.name
        self._link = ""
        #: Bytes that are to be left out: a server that knows no ranges sends them again.
        self._known = 0
        self._answer = self._open(ended)
        headers = self._answer.headers
        self._etag = headers.get("ETag", "")
        self._md5 = _read_md5(headers.get("Content-MD5"))
        self.size = _find_size(self._name, ended, headers)
        self.content_type = ended.said("contentType") or media_type(headers)

    def chunks(self) -> Iterator[bytes]:
        """The bytes. Raises TemporaryError if they end early, or are not those that were announced."""
        received, breaks, digest = 0, 0, hashlib.md5(usedforsecurity=False)
        while True:
            before = received
            try:
                for chunk in self._new_bytes():
                    digest.update(chunk)
                    received += len(chunk)
                    yield chunk
                if self.size is None or received >= self.size:
                    break
            except BREAKS as error:
                logger.warning("data source %s: the result broke off: %s", self._name, error)
            breaks = breaks + 1 if received == before else 0
            if breaks >= _MOST_BREAKS:
                raise TemporaryError(_BROKE_OFF.format(name=self._name))
            self._continue(received)
        self._check(received, digest.hexdigest())

    def _new_bytes(self) -> Iterator[bytes]:
        """What comes of the present answer, without what came before."""
        for chunk in self._answer.response.raw.stream(_CHUNK, decode_content=False):
            known, self._known = self._known, max(0, self._known - len(chunk))
            if known < len(chunk):
                yield chunk[known:]

    def close(self) -> None:
        """Leave the connection, with what has not been read."""
        self._answer.response.close()

    def _open(self, ended: Answer) -> Answer:
        """The answer with the first bytes."""
        if ended.status == 200 and ended.document is None:
            return ended  # some servers answer the poll with the data
        self._link = self._link_in(ended)
        return self._follow(self._errand.fetch)

    def _link_in(self, ended: Answer) -> str:
        location = ended.headers.get("Location") or ended.said("location")
        if ended.status not in _REDIRECTS or not location:
            raise DataSourceError(f"{self._name} answers with the unexpected status {ended.status}.")
        return self._peer.resolve(location)

    def _follow(self, fetch: Callable[[str], Answer]) -> Answer:
        """The answer at the link, or where that leads to."""
        url = self._link
        for _ in range(_MOST_REDIRECTS):
            answer = fetch(url)
            if answer.status not in _REDIRECTS:
                if answer.status in (200, 206):
                    return answer
                raise TemporaryError(f"The result of {self._name} cannot be fetched: status {answer.status}.")
            url = self._peer.resolve(answer.headers.get("Location", ""), url)
        raise TemporaryError(f"The result of {self._name} cannot be fetched: too many redirects.")

    def _continue(self, received: int) -> None:
        """Have the bytes from there on come next, by a link that may be a new one: some end after a while."""
        self.close()
        if not self._link:
            raise TemporaryError(_BROKE_OFF.format(name=self._name))
        self._link = self._link_in(self._errand.poll())
        self._answer = self._follow(lambda url: self._errand.fetch(url, received, self._etag))
        if self._etag and self._answer.headers.get("ETag", self._etag) != self._etag:
            raise TemporaryError(f"The result of {self._name} has changed.")
        if self._answer.status == 206:
            found = _CONTENT_RANGE.fullmatch(self._answer.headers.get("Content-Range", ""))
            if found is None or int(found[1]) != received:
                raise TemporaryError(f"{self._name} sends another part of the result than it was asked for.")
            self._known = 0
        else:
            self._known = received

    def _check(self, received: int, md5: str) -> None:
        if self.size is not None and received != self.size:
            raise TemporaryError(f"The result of {self._name} has {received} bytes, not {self.size}.")
        if self._md5 is not None and md5 != self._md5:
            raise TemporaryError(f"The result of {self._name} has another MD5 sum than was announced.")


def _find_size(name: str, ended: Answer, headers: Mapping[str, str]) -> int | None:
    """The size that is announced, None if none is. Raises TemporaryError if two differ."""
    known = (ended.document or {}).get("contentLength")
    length = headers.get("Content-Length", "")
    sizes = {int(length)} if length.isdecimal() else set()
    if isinstance(known, int) and not isinstance(known, bool):
        sizes.add(known)
    if len(sizes) > 1:
        raise TemporaryError(f"The result of {name} has not the size that was announced.")
    return next(iter(sizes), None)


def _read_md5(value: str | None) -> str | None:
    try:
        return announced_md5(None, value)
    except ValueError:
        return None
