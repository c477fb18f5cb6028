"""The parts of a frontend, which the APIs call. `composition` makes them of a configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from polytope_server.accounts.api_keys import APIKeys
from polytope_server.accounts.users import Identity
from polytope_server.authentication.manager import Authentication
from polytope_server.collection import Collection
from polytope_server.frontend.background import BackgroundWork
from polytope_server.frontend.callers import Callers
from polytope_server.frontend.catalogue import Catalogue
from polytope_server.frontend.download_marks import DownloadMarks
from polytope_server.frontend.lifecycle import Lifecycle
from polytope_server.frontend.limits import AdmissionLimits
from polytope_server.frontend.lists import Lists
from polytope_server.frontend.metrics import FrontendMetrics
from polytope_server.frontend.polling import Polling
from polytope_server.frontend.questions import Questions
from polytope_server.frontend.revocation import Revocations
from polytope_server.frontend.submission import Submissions
from polytope_server.frontend.support import Support
from polytope_server.frontend.transfers import Transfers
from polytope_server.frontend.uploads import Uploads
from polytope_server.frontend.waiters import Waiters
from polytope_server.notices import Notices
from polytope_server.request_store import RequestStore
from polytope_server.runtime.management.health import Health
from polytope_server.settings.frontend import FrontendSettings
from polytope_server.staging import Staging


@dataclass(frozen=True, kw_only=True)
class Services:
    """What the APIs of one frontend process call."""

    #: The back-ends; None is what the server is configured without.
    store: RequestStore
    notices: Notices
    staging: Staging
    authentication: Authentication
    identity: Identity | None
    api_keys: APIKeys | None
    #: What the configuration says.
    settings: FrontendSettings
    collections: Mapping[str, Collection]
    catalogue: Catalogue
    #: What users ask for, and who they are.
    callers: Callers
    submissions: Submissions
    questions: Questions
    polling: Polling
    lists: Lists
    revocations: Revocations
    uploads: Uploads
    transfers: Transfers
    #: What these use, and what answers need.
    limits: AdmissionLimits
    waiters: Waiters
    download_marks: DownloadMarks
    background: BackgroundWork
    support: Support
    metrics: FrontendMetrics
    health: Health
    lifecycle: Lifecycle
