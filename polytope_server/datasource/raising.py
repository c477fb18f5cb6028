"""The data source `raise`: fails every request, for trials of what a user sees then."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from polytope_server.datasource import DataSource, DataSourceError, DataSourceSettings, Job, Result


class RaiseSettings(DataSourceSettings):
    """Keys of the data source `raise`."""

    error_message: str = Field("This data source fails every request.", description="What the user reads.")


class RaiseDataSource(DataSource):
    """Fails with the configured message, whatever is asked of it."""

    Settings = RaiseSettings

    @classmethod
    def archives(cls, settings: Any) -> bool:
        return True

    def retrieve(self, job: Job) -> Result:
        raise DataSourceError(self.settings.error_message)

    def archive(self, job: Job, data: Iterable[bytes]) -> None:
        raise DataSourceError(self.settings.error_message)
