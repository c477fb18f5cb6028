"""Makes a worker from the configuration."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

from polytope_server.config import Configuration, coercion_rules
from polytope_server.datasource import factory
from polytope_server.secrets.deployment_key import DeploymentKeys
from polytope_server.secrets.sealing import REQUESTS, Seals
from polytope_server.settings import create_backend
from polytope_server.worker.children import Children
from polytope_server.worker.fork_server import ForkServer
from polytope_server.worker.question_children import QuestionChildren
from polytope_server.worker.worker import Parts, Worker


def make_worker(configuration: Configuration, data: Path, fork_server: ForkServer) -> Worker:
    """The worker that the configuration describes; `data` is the data folder."""
    parts = make_parts(configuration, data, fork_server)
    return Worker(configuration.settings, configuration.collections, parts)


def make_parts(configuration: Configuration, data: Path, fork_server: ForkServer) -> Parts:
    """The parts of that worker; `fork_server` starts its children."""
    settings = configuration.settings
    child_config = make_child_config(configuration)
    return Parts(
        store=create_backend("request_store", settings.request_store, data),
        queue=create_backend("queue", settings.queue, data),
        notices=create_backend("notices", settings.notices, data),
        staging=create_backend("staging", settings.staging, data),
        metric_store=create_backend("metric_store", settings.metric_store, data),
        children=Children(settings.worker.concurrency, child_config, fork_server),
        question_children=_make_question_children(configuration, child_config, fork_server),
        seals=_make_seals(configuration, data),
    )


def _make_question_children(
    configuration: Configuration, child_config: dict[str, Any], fork_server: ForkServer
) -> QuestionChildren | None:
    """Children for questions, if a data source answers any, and the configuration lets this worker."""
    count = configuration.settings.worker.questions
    if not count or not factory.answering(configuration.collections.values()):
        return None
    return QuestionChildren(count, child_config, fork_server)


def _make_seals(configuration: Configuration, data: Path) -> Seals | None:
    """What opens the attributes of users, if a data source needs them: then the deployment needs its key."""
    sources = (source for found in configuration.collections.values() for source in found.datasources)
    if not any(map(factory.user_attributes, sources)):
        return None
    return Seals(DeploymentKeys(configuration.settings.secrets, data), REQUESTS)


def make_child_config(configuration: Configuration) -> dict[str, Any]:
    """What child processes need of the configuration, as it is sent to them in JSON."""
    sources = [
        {
            "collection": collection.name,
            "name": source.name,
            "type": source.type,
            "settings": factory.plain_settings(source),
            "judged": sorted(factory.judged_keys(source)),
        }
        for collection in configuration.collections.values()
        for source in collection.datasources
    ]
    rules = coercion_rules(configuration.settings)
    values = {one.name: getattr(rules, one.name) for one in fields(rules)}
    return {
        "sources": sources,
        "coercion": {
            key: sorted(value) if isinstance(value, frozenset) else value for key, value in values.items()
        },
        "logging": configuration.settings.logging.model_dump(mode="json"),
        "secrets": sorted(configuration.secrets),
    }
