"""Makes the parts of a frontend of a configuration, and gives them to each other."""

from __future__ import annotations

from collections.abc import Collection as Many
from collections.abc import Mapping
from pathlib import Path

from polytope_server import accounts
from polytope_server.authentication.configuration import create_authentication
from polytope_server.caching import Cache
from polytope_server.config import Configuration, coercion_rules, source_rules
from polytope_server.config.releases import obeys_schedule, open_schedule
from polytope_server.datasource import factory
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
from polytope_server.frontend.services import Services
from polytope_server.frontend.source_selection import Source, SourceSelection
from polytope_server.frontend.submission import Submissions
from polytope_server.frontend.support import Support
from polytope_server.frontend.transfers import Transfers
from polytope_server.frontend.uploads import Uploads
from polytope_server.frontend.validation import Validation
from polytope_server.frontend.waiters import Waiters
from polytope_server.notices import Notices
from polytope_server.questions.asker import Asker
from polytope_server.request_store import RequestStore
from polytope_server.runtime.management.health import Check, Health
from polytope_server.runtime.process import Part
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import REQUESTS, Seals
from polytope_server.settings import Settings, create_backend
from polytope_server.settings.secrets import are_shared
from polytope_server.staging import Staging


def compose(configuration: Configuration, data: Path) -> Services:
    """The parts of a frontend, not open yet; `data` is the data folder. Raises ConfigurationError."""
    settings, frontend = configuration.settings, configuration.settings.frontend
    store: RequestStore = create_backend("request_store", settings.request_store, data)
    notices: Notices = create_backend("notices", settings.notices, data)
    staging: Staging = create_backend("staging", settings.staging, data)
    staging.limit_gathering(frontend.transfers.upload_memory)
    cache: Cache = create_backend("caching", settings.caching, data)
    sources = make_sources(configuration)
    attributes = _find_needed_attributes(sources)
    authentication = create_authentication(settings, data, cache, attributes)
    validation = Validation(
        SourceSelection(sources, coercion_rules(settings)),
        frozenset(settings.worker.input_hosts),
        _make_seals(settings, data, attributes),
        store,
    )
    identity = accounts.create_users(settings, data)
    api_keys = accounts.create_api_keys(settings, data)
    waiters, background, download_marks = Waiters(), BackgroundWork(), DownloadMarks(store)
    limits = AdmissionLimits(frontend.limits, cache, store)
    metrics = FrontendMetrics(configuration.collections)
    questions = _make_questions(configuration, notices, cache, metrics)
    health = _make_health(store, staging, cache)
    parts: list[Part] = [store, notices, staging, cache, authentication]
    parts += [part for part in (identity, api_keys) if part is not None]
    return Services(
        store=store,
        notices=notices,
        staging=staging,
        authentication=authentication,
        identity=identity,
        api_keys=api_keys,
        settings=frontend,
        collections=configuration.collections,
        catalogue=Catalogue(configuration.collections, sources, questions),
        callers=Callers(authentication, limits, settings.admin.roles),
        submissions=Submissions(
            validation, limits, store, notices, waiters, background, questions, metrics, frontend.submit_wait
        ),
        questions=questions,
        polling=Polling(store, waiters, frontend.poll_wait),
        lists=Lists(store, background, frontend.listed),
        revocations=Revocations(store, notices, staging, metrics),
        uploads=Uploads(store, staging, notices, metrics, frontend.max_upload),
        transfers=Transfers(frontend.transfers, store),
        limits=limits,
        waiters=waiters,
        download_marks=download_marks,
        background=background,
        support=Support(settings.support),
        metrics=metrics,
        health=health,
        lifecycle=Lifecycle(parts, notices, waiters, questions, download_marks, background, health),
    )


def make_sources(configuration: Configuration) -> dict[str, list[Source]]:
    """The data sources of each collection."""
    schedule = open_schedule(configuration)
    return {
        name: [
            Source(
                config,
                source_rules(config),
                factory.archives(config),
                factory.user_attributes(config),
                factory.request_check(config),
                schedule if obeys_schedule(config) else None,
                factory.description(config),
            )
            for config in collection.datasources
        ]
        for name, collection in configuration.collections.items()
    }


def _find_needed_attributes(sources: Mapping[str, list[Source]]) -> frozenset[str]:
    """The attributes of users that some data source needs."""
    return frozenset[str]().union(*(source.attributes for found in sources.values() for source in found))


def _make_seals(settings: Settings, data: Path, attributes: Many[str]) -> Seals | None:
    """What seals these attributes of users; None where a worker could not open it."""
    if attributes and are_shared(settings.secrets, settings.queue):
        return Seals(DeploymentKeys(settings.secrets, data), REQUESTS)
    return None


def _make_questions(
    configuration: Configuration, notices: Notices, cache: Cache, metrics: FrontendMetrics
) -> Questions:
    """What asks workers, if a data source answers questions, and the configuration lets this frontend."""
    collections, settings = configuration.collections.values(), configuration.settings.frontend
    asker = Asker(notices) if settings.questions and factory.answering(collections) else None
    asked = {
        (one.name, source.name): factory.door_question(source)
        for one in collections
        for source in one.datasources
    }
    return Questions(settings, asker, {key: kind for key, kind in asked.items() if kind}, cache, metrics)


def _make_health(store: RequestStore, staging: Staging, cache: Cache) -> Health:
    return Health(
        {
            "request_store": Check(store.check),
            "staging": Check(staging.check),
            "caching": Check(cache.check, needed=False),
        }
    )
