"""Submissions: what is decided when a user submits a request, and what then becomes of it."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace

from polytope_server.collection import Collection
from polytope_server.frontend.background import BackgroundWork, BusyError
from polytope_server.frontend.limits import AdmissionLimits
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.origin import Origin
from polytope_server.frontend.questions import Questions
from polytope_server.frontend.refusals import FailedRequestError, Kind, RefusedError, shown
from polytope_server.frontend.validation import Draft, Validation
from polytope_server.frontend.waiters import Ended, Waiters, wait
from polytope_server.language import MAX_VALUES, TooManyValuesError
from polytope_server.notices import Notices, Topic
from polytope_server.request import Request, Status
from polytope_server.request_store import DuplicateRequestError, RequestStore
from polytope_server.runtime import log
from polytope_server.user import User

logger = logging.getLogger(__name__)

#: Bytes of a body that is read in the event loop, and values of its request that are compared there with the
#: rules of data sources: some milliseconds each. A body of 64 KiB, or all values, may take 0.1 s and more.
_SMALL, _FEW = 2 << 10, 1000
_NO_ORIGIN = Origin()


class Submissions:
    """Takes requests from users: validates, admits, stores and announces them."""

    def __init__(
        self,
        validation: Validation,
        limits: AdmissionLimits,
        store: RequestStore,
        notices: Notices,
        waiters: Waiters,
        background: BackgroundWork,
        questions: Questions,
        metrics: FrontendMetrics,
        submit_wait: float,
    ) -> None:
        """`submit_wait` is the number of seconds in which a request may fail before its submission ends."""
        self.validation = validation
        self._limits = limits
        self._store = store
        self._notices = notices
        self._waiters = waiters
        self._background = background
        self._questions = questions
        self._metrics = metrics
        self._submit_wait = submit_wait

    async def submit(
        self,
        user: User,
        collection: Collection,
        read_body: Callable[[], Awaitable[bytes]],
        draft_of: Callable[[bytes], Draft],
        origin: Origin = _NO_ORIGIN,
    ) -> Request:
        """The request of a user, stored; that of an earlier call if `origin` says that this one repeats it.

        `read_body` receives the body, which is not done for users who may not submit; `draft_of` makes sense
        of it, perhaps in a thread. What they raise passes through.
        Raises RefusedError, and FailedRequestError if the request fails at once.
        """
        with self._metrics.submission(collection.name):
            self._check_access(user, collection)
            body = await read_body()
            request_id = origin.request_id(user, collection, body)
            if request_id is not None and (known := await self._store.get(request_id)) is not None:
                return known
            await origin.check_circle(user, self._store)

            def read_draft() -> Draft:
                return replace(draft_of(body), request_id=request_id, via=origin.via)

            request = await self._validate_draft(user, collection, read_draft, len(body))
            log.request_id.set(request.id)
            await self._questions.check(request)
            with self._waiters.watch(request.id) as ended:
                try:
                    await self._store_request(request)
                except DuplicateRequestError:
                    return await self._find_twin(request)
                await self._check_early_failure(request, ended)
        return request

    def _check_access(self, user: User, collection: Collection) -> None:
        if not collection.admits(user):
            reason = f"User {shown(user.username)} cannot access collection {collection.name}"
            raise RefusedError(Kind.FORBIDDEN, reason)

    async def _validate_draft(
        self, user: User, collection: Collection, draft: Callable[[], Draft], size: int
    ) -> Request:
        """The request that a draft describes: made at once if that is little work, else in a thread."""

        def validate(comparisons: int = MAX_VALUES) -> Request:
            return self.validation.request_of(user, collection, draft(), comparisons)

        if size <= _SMALL:
            with suppress(TooManyValuesError):
                return validate(_FEW)
        try:
            return await self._background.run(user.id, validate, max(size, _SMALL))
        except BusyError:
            raise RefusedError(Kind.TOO_MANY, "Too many large requests are being read", 1) from None

    async def _store_request(self, request: Request) -> None:
        """Store the request if the limits admit it, and announce it."""
        async with self._limits.admit_request(request):
            await self._store.add(request)
        if request.status is Status.WAITING:
            self._waiters.submitted(request)
            self._notices.publish(Topic.WAITING, request.id)
        logger.info("%s %s by %s", request.verb, request.collection, request.user.username)

    async def _find_twin(self, request: Request) -> Request:
        """The request that the same submission has just made elsewhere."""
        found = await self._store.get(request.id)
        if found is None:
            raise RefusedError(Kind.UNAVAILABLE, "The request of this key is being removed. Please try again")
        return found

    async def _check_early_failure(self, request: Request, ended: Ended) -> None:
        if self._submit_wait <= 0 or request.status is not Status.WAITING:
            return
        await wait(ended, self._submit_wait)
        now = await self._store.get(request.id)
        if now is not None and now.status is Status.FAILED:
            raise FailedRequestError(now)
