"""The schedule of releases of a configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping

from polytope_server.collection import DataSourceConfig
from polytope_server.config.loading import Configuration
from polytope_server.schedule.file import EARLIER_FILE, EARLIER_VARIABLE, ScheduleFile, find_file
from polytope_server.settings.problems import ConfigurationError


def open_schedule(
    configuration: Configuration, environ: Mapping[str, str] = os.environ
) -> ScheduleFile | None:
    """The schedule that data sources obey, None if none does.

    Raises ConfigurationError where one does and there is no schedule that can be read: without it all data
    would count as released.
    """
    obeying = [
        f"collections.{collection.name}: data source {source.name!r}"
        for collection in configuration.collections.values()
        for source in collection.datasources
        if obeys_schedule(source)
    ]
    if not obeying:
        return None
    path = find_file(configuration.settings.schedule.file, environ)
    if path is None:
        raise ConfigurationError(
            f"{one} has obey_schedule, but there is no schedule; set schedule.file, or "
            f"{EARLIER_VARIABLE}=true for {EARLIER_FILE}"
            for one in obeying
        )
    try:
        return ScheduleFile(path)
    except ValueError as error:
        raise ConfigurationError([f"schedule.file: {error}"]) from None


def obeys_schedule(source: DataSourceConfig) -> bool:
    """Whether requests to a data source wait for the release of their data."""
    return bool(source.keys.get("obey_schedule"))
