"""Data sources: where data comes from, and where archived data goes.

A data source runs in a child process of the worker, one request at a time, and may block. It never
touches the stores. Modules must be cheap to import, because the frontend imports them to match requests:
a native library is imported in :meth:`DataSource.prepare`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from polytope_server.language import CoercionRules, Spelling
from polytope_server.media_types import COVERAGE_JSON, GRIB, OCTET_STREAM

__all__ = [
    "CONTENTS",
    "COVERAGE_JSON",
    "GRIB",
    "OCTET_STREAM",
    "Answer",
    "DataSource",
    "DataSourceError",
    "DataSourceSettings",
    "Job",
    "Question",
    "RequestCheck",
    "Result",
    "TemporaryError",
    "WornOutError",
]


class DataSourceError(Exception):
    """The request cannot be fulfilled, however often it is tried. The message is for the user."""


class TemporaryError(Exception):
    """This attempt failed, another one may succeed. The message is for the user, should all of them fail."""


class WornOutError(TemporaryError):
    """This process cannot serve requests any more, and a new one can: it is replaced, and that one tries.

    That is no failed attempt. The text is for the log.
    """


class DataSourceSettings(BaseModel):
    """The keys of a data source of its own; the generic ones (match, defaults ...) are taken out before."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _ignore(kind: str, text: str) -> None:
    """Pass nothing on."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a data source gets of a request: the text as submitted, and its coerced form.

    `attributes` are those of :meth:`DataSource.user_attributes` that the user has. They may be secrets: a
    data source uses them, and writes them nowhere. `via` are the ids of the requests at other servers for
    which this one was made, the first one first. `tell` passes texts on to the user, by the kinds `note`
    and `progress`.
    """

    request_id: str
    verb: str
    user_request: str
    coerced_request: Mapping[str, Any]
    username: str = ""
    realm: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict, repr=False)
    via: Sequence[str] = ()
    tell: Callable[[str, str], None] = field(default=_ignore, repr=False, compare=False)

    def note(self, text: str) -> None:
        """Say what the user should know about the result, such as a key of the request that has no effect.

        It is shown while the request is processed, and follows "Success" in its last message.

        Args:
            text: A sentence. Of a request, 20 notes with 500 characters each are kept.
        """
        self.tell("note", text)

    def progress(self, text: str) -> None:
        """Say what is being done now, in place of what was said before.

        It is shown to those who poll, about once a second, until the request has ended.

        Args:
            text: A few words, such as "13 of 20 fields"; 500 characters at most.
        """
        self.tell("progress", text)


#: Is given a coerced request that matches the rules of a data source, and the verb. Raises DataSourceError.
RequestCheck = Callable[[Mapping[str, Any], str], None]


@dataclass(frozen=True, slots=True)
class Result:
    """The data of a request: their media type, and chunks of them (each best of 1 MiB or less).

    Where the `size` in bytes is known, a result that is too large is refused before it is read.
    """

    content_type: str
    chunks: Iterable[bytes | bytearray | memoryview]
    size: int | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What a data source is asked about a request, beside its data; `kind` is one of its `questions`.

    The request is coerced, and matches the rules of the data source. It is not said who asks: an answer may
    be kept, and given to others who ask the same.
    """

    kind: str
    request: Mapping[str, Any]


CONTENTS = "contents"
"""The kind of question for what is there, asked for the description of a collection.

Its request has the keys that the rules of the data source fix. The answer has the number of values of each
key, and values and ranges of them: `{"step": {"count": 9, "values": ["0/to/48/by/6"]}}`.
"""


@dataclass(frozen=True, slots=True)
class Answer:
    """A value that fits into JSON (numbers that are finite) of at most 256 KiB.

    For `seconds` it is given again to those who ask the same; 0: it is not kept.
    """

    value: Any
    seconds: float = 0.0


class DataSource(ABC):
    """Fetches data, and archives them if it can."""

    Settings: ClassVar[type[DataSourceSettings]] = DataSourceSettings
    #: Whether it serves requests with a key `feature`, and only those. None: those with and those without it.
    accepts_feature: ClassVar[bool | None] = False
    #: Whether values of its requests may be mappings, or lists with mappings or lists in them, which it gets
    #: as they were sent. Values of the keys `data`, `feature` and `filter` may be anything, for all of them.
    accepts_mappings: ClassVar[bool] = False
    #: Other names of keys, as `{other name: key}` in small letters. Its requests, and `match`, `defaults` and
    #: `patch` of its configuration, are read with the keys.
    aliases: ClassVar[Mapping[str, str]] = {}
    #: Kinds of questions that :meth:`answer` answers.
    questions: ClassVar[frozenset[str]] = frozenset()
    #: Python packages that a worker needs for it, and a frontend does not.
    requires: ClassVar[tuple[str, ...]] = ()
    #: How this server brings requests into canonical form. The worker sets it before it calls `prepare`.
    coercion: CoercionRules = CoercionRules()
    #: The keys that `match` of its configuration judges. The worker sets it before it calls `prepare`.
    judged: Collection[str] = frozenset()

    def __init__(self, name: str, settings: Any) -> None:
        """Make a data source; what takes long belongs into :meth:`prepare`.

        Args:
            name: Its name in the configuration.
            settings: An instance of this class's `Settings`.
        """
        self.name = name
        self.settings = settings

    @classmethod
    def archives(cls, settings: Any) -> bool:
        """Find out whether a data source takes archive requests.

        Args:
            settings: An instance of this class's `Settings`.

        Returns:
            Whether it does, with these settings.
        """
        return False

    @classmethod
    def describe(cls, settings: Any) -> Mapping[str, Any]:
        """Say what users should know before they write a request, such as limits.

        It is shown with the description of the collection to those who may use this data source.

        Args:
            settings: An instance of this class's `Settings`.

        Returns:
            Names and values that fit into JSON; nothing by default.
        """
        return {}

    @classmethod
    def user_attributes(cls, settings: Any) -> Collection[str]:
        """Names of attributes of the user that a data source with these settings needs, such as an API key.

        They are sealed when the request is submitted, kept with it until it ends, and opened for
        :attr:`Job.attributes`. No other data source gets them.

        Args:
            settings: An instance of `Settings`.

        Returns:
            The names, as the authenticators of the users give them; none by default.
        """
        return ()

    @classmethod
    def implied_keys(cls, request: Mapping[str, Any]) -> Mapping[str, Any]:
        """Find out what a request with a `feature` asks for through it.

        `match`, date rules and the schedule judge these keys as if they stood in the request, and the data
        source gets them with it. It runs in the frontend, for requests that a data source with
        `accepts_feature` may serve.

        Args:
            request: A coerced request, keys by their own names.

        Returns:
            Keys and values as a request may have them, such as `{"step": "0/to/24"}`. A key that the request
            has too must have the same value there. Nothing by default.

        Raises:
            RequestError: The feature cannot be read. The text says everything that is wrong with it.
        """
        return {}

    @classmethod
    def spelling(cls, settings: Any) -> Spelling | None:
        """Find out how values of requests and of `match` are compared.

        It runs in the frontend. This method is called once, when a frontend starts.

        Args:
            settings: An instance of `Settings`.

        Returns:
            A function of a key and a value that gives the same text for all values that mean the same to this
            data source, such as names and numbers of parameters. None, as by default: values are texts, some
            of which count in either case.
        """
        return None

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck | None:
        """Make the check of requests that a frontend does when they are submitted, before it stores them.

        The check runs in the frontend, for every request: it has milliseconds, and neither native libraries
        nor a network. This method is called once, when a frontend starts, also without native libraries. It
        may read files, and ask a server for what it needs, such as a schema in a git repository; it must
        have a bound of time for that, and make a check without it where there is no answer.

        Args:
            settings: An instance of `Settings`.

        Returns:
            A function of a coerced request that matches the rules of this data source, and of the verb. It
            raises DataSourceError, with all that is wrong, for a request that could only fail. None, as by
            default, if there is nothing to check.
        """
        return None

    @classmethod
    def door_question(cls, settings: Any) -> str | None:
        """Name the question that a frontend asks about each retrieval when it is submitted.

        A worker answers it, where the data and the native libraries are. Without an answer within
        `frontend.question_wait` the request is accepted, so :meth:`retrieve` begins with the same check.

        Args:
            settings: An instance of `Settings`.

        Returns:
            One of the kinds in `questions`, whose answer is a list: a sentence for each problem that makes
            the request fail, which the user reads in the answer to the submission. None, as by default, if
            there is nothing to ask.
        """
        return None

    def prepare(self) -> None:  # noqa: B027 -- most need nothing
        """Import and open what takes long, once in each child process, before its first request.

        Raises:
            Exception: Any; it is logged, and requests for this data source are tried again later.
        """

    @abstractmethod
    def retrieve(self, job: Job) -> Result:
        """Fetch the data.

        Args:
            job: The request, which matches the rules of this data source.

        Returns:
            The media type and the chunks, which are read once. A chunk must not change when the next one is
            asked for.

        Raises:
            DataSourceError: The request cannot be fulfilled. The chunks may raise it, too.
            TemporaryError: Another attempt may succeed. The chunks may raise it, too.
            WornOutError: Another process may succeed. The chunks may raise it, too.
        """

    def answer(self, question: Question) -> Answer | None:
        """Answer a question, for data sources whose `questions` names some.

        It runs in another child process than requests. The frontend waits for `frontend.question_wait`, one
        second by default; the process is ended if it needs more than ten.

        Args:
            question: A question of one of those kinds.

        Returns:
            The answer; None if there is none.

        Raises:
            DataSourceError: The request could not be fulfilled. The message is for the user.
            TemporaryError: There is no answer now.
        """
        return None

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        """Store the data, all or nothing where that is possible.

        Args:
            job: The request, which matches the rules of this data source.
            data: Chunks of the data, to be read once; they end when all are there.

        Raises:
            DataSourceError: The data cannot be stored, however often it is tried.
            TemporaryError: Another attempt may succeed; it gets the data from the start.
        """
        raise DataSourceError(f"data source {self.name} does not archive")
