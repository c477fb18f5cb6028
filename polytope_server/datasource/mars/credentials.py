"""On whose behalf data are retrieved from ECMWF."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from pydantic import Field, SecretStr

from polytope_server.datasource import DataSource, DataSourceSettings, Job
from polytope_server.datasource.fdb import keys

#: The attributes of a user that are the credentials at ECMWF.
_EMAIL, _KEY = "ecmwf-email", "ecmwf-apikey"


class CredentialSettings(DataSourceSettings):
    """Keys of the data sources that retrieve on behalf of users of ECMWF."""

    override_email: str | None = Field(
        None, description="Retrieve in this name, instead of that in the user's attribute `ecmwf-email`."
    )
    override_apikey: SecretStr | None = Field(
        None, description="Retrieve with this key, instead of that in the user's attribute `ecmwf-apikey`."
    )

    def find_needed(self) -> Collection[str]:
        """The attributes of users that are needed, which are secrets."""
        overridden = {_EMAIL: self.override_email, _KEY: self.override_apikey}
        return [name for name, value in overridden.items() if not value]

    def find_email(self, job: Job) -> str | None:
        """In whose name to retrieve; None if there is nothing that says so."""
        return self.override_email or job.attributes.get(_EMAIL)

    def find_key(self, job: Job) -> str | None:
        """The key to that."""
        override = self.override_apikey.get_secret_value() if self.override_apikey else None
        return override or job.attributes.get(_KEY)


class AccountDataSource(DataSource):
    """A data source with such keys, for requests in the language of MARS."""

    aliases = keys.ALIASES

    @classmethod
    def user_attributes(cls, settings: Any) -> Collection[str]:
        needed: Collection[str] = settings.find_needed()
        return needed
