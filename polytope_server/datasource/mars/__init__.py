"""The data source `mars`: fields of MARS, through the MARS client of this machine.

The client runs as a process of its own for each request, and writes the data into a named pipe, or a file.
Whatever happens to it, to the process of this data source or to its worker: nothing keeps running, and
nothing is left on disk (`guard.py`).
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from polytope_server.datasource import Job, RequestCheck, Result
from polytope_server.datasource.fdb.configuration import FDBConfigKey, load_fdb_config
from polytope_server.datasource.mars import environment, text
from polytope_server.datasource.mars.callback import callback
from polytope_server.datasource.mars.client import Client, Pipe
from polytope_server.datasource.mars.credentials import AccountDataSource, CredentialSettings
from polytope_server.datasource.mars.delivery import Chunks, deliver, note_target
from polytope_server.datasource.mars.log import ClientLog
from polytope_server.datasource.working_folder import WorkingFolder, remove_left_behind
from polytope_server.settings.values import Duration

_PREFIX = "polytope-mars-"
_CHUNK = 1 << 20


class MARSSettings(CredentialSettings):
    """Keys of the data source `mars`."""

    protocol: Literal["dhs", "remote"] = Field(
        "dhs",
        description="How the client gets the data. `dhs`: servers of MARS call it back, see "
        "docs/operators/mars.md. `remote`: it uses the FDB of `fdb_config`.",
    )
    command: str = Field(
        "/usr/local/bin/mars",
        min_length=1,
        description="The MARS client; it is given a file with the request.",
    )
    binary: str | None = Field(None, description="Key of earlier servers; no effect, see `command`.")
    tmp_dir: Path = Field(Path("/tmp"), description="Folder for temporary files.")  # noqa: S108
    use_file_io: bool = Field(
        False,
        description="Whether the client writes a file in `tmp_dir`, which is passed on when it is complete, "
        "instead of a named pipe.",
    )
    timeout: Duration | None = Field(
        None, gt=0, description="Longest time of a retrieval; by default `worker.timeout` alone bounds it."
    )
    poll_interval: Duration = Field(
        1.0, description="How often, at most, a line of the client's output is shown to those who poll."
    )
    mars_error_filter: str = Field(
        "mars - EROR", description="Lines of the client's output with this text are shown to the user."
    )
    fdb_config: FDBConfigKey | None = Field(
        None,
        description="The FDB's configuration for the client (`FDB5_CONFIG`), or the path to a YAML file.",
    )
    config: list[dict[str, Any]] | dict[str, Any] | None = Field(
        None, description="The databases that the client knows: its `etc/mars-client/databases.yaml`."
    )

    @field_validator("tmp_dir")
    @classmethod
    def _can_be_quoted(cls, folder: Path) -> Path:
        if not folder.is_absolute() or not str(folder).isprintable() or set(str(folder)) & set('"\\#'):
            raise ValueError('expected an absolute path without " \\ and #')
        return folder


class MARSDataSource(AccountDataSource):
    """Retrieves with the MARS client."""

    Settings = MARSSettings

    @classmethod
    def request_check(cls, settings: Any) -> RequestCheck:
        return text.check

    def prepare(self) -> None:
        remove_left_behind(_PREFIX, self.settings.tmp_dir)

    def retrieve(self, job: Job) -> Result:
        text.check(job.coerced_request, job.verb)
        note_target(job)
        return deliver(self.name, job, self._run(job))

    def _run(self, job: Job) -> Chunks:
        """Run the client, and pass on what it delivers."""
        settings = self.settings
        with ExitStack() as stack:
            folder = stack.enter_context(WorkingFolder(_PREFIX, settings.tmp_dir))
            request, target = folder.path / "request", folder.path / "target"
            request.write_text(text.write(job.coerced_request, target))
            variables, held = self._make_environment(job, folder.path), [folder.lock]
            if settings.protocol == "dhs":
                called_back, port = stack.enter_context(callback(os.environ))
                variables, held = {**variables, **called_back}, [*held, *port]
            log = ClientLog(job, settings.mars_error_filter, folder.path, settings.poll_interval)
            pipe = None if settings.use_file_io else stack.enter_context(Pipe(target))
            command = [settings.command, str(request)]
            client = Client(self.name, command, variables, folder.path, held, log, settings.timeout)
            yield from _output(stack.enter_context(client), pipe or target)

    def _make_environment(self, job: Job, folder: Path) -> dict[str, str]:
        settings = self.settings
        fdb = None if settings.fdb_config is None else load_fdb_config(settings.fdb_config)
        found = environment.inherited(os.environ)
        found["MARS_USER_EMAIL"] = settings.find_email(job) or "no-email"
        found["MARS_USER_TOKEN"] = settings.find_key(job) or "no-api-key"
        found["ECMWF_MARS_COMMAND"] = settings.command
        if fdb is not None:
            found["FDB5_CONFIG"] = environment.written(fdb)
        if settings.config is not None:
            remote = fdb if settings.protocol == "remote" else None
            found["MARS_HOME"] = str(environment.write_home(folder, settings.config, remote))
        return found


def _output(client: Client, target: Pipe | Path) -> Iterator[bytes]:
    """What the client delivers: through a pipe as it comes, in a file when it has ended."""
    if isinstance(target, Pipe):
        yield from client.stream(target)
        client.check()
        return
    client.finish()
    client.check()
    if target.exists():
        with target.open("rb") as file:
            while chunk := file.read(_CHUNK):
                yield chunk
