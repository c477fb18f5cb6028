"""The sections of the configuration for broker, worker and garbage collector."""

from __future__ import annotations

from pydantic import Field

from polytope_server.settings.management import ManagementSettings
from polytope_server.settings.section import Section, part
from polytope_server.settings.values import Count, Duration, QueueName, Size


class BrokerSettings(Section):
    """`broker`: decides which waiting request runs next."""

    interval: Duration = Field(
        10.0, gt=0, description="Longest time between two looks into the store, which repair lost notices."
    )
    lease: Duration = Field(3.0, gt=0, description="How long a broker leads without renewing its lease.")
    user_limit: Count | None = Field(
        None, description="Key of an earlier server, see `limits` of a collection; no effect."
    )
    management: ManagementSettings = part(ManagementSettings, "Liveness, readiness and metrics.")


class WorkerSettings(Section):
    """`worker`: fetches data and puts it into staging."""

    queues: list[QueueName] | None = Field(
        None,
        min_length=1,
        description="The queues whose requests this worker takes; by default every queue that a collection "
        "or data source of the configuration names.",
    )
    concurrency: int = Field(4, ge=1, le=1024, description="Requests at a time in each worker process.")
    max_attempts: int = Field(3, ge=1, le=100, description="How often a request is tried before it fails.")
    max_lost_leases: int = Field(
        10,
        ge=1,
        le=1000,
        description="How often a request may lose its worker (killed, or cut off) before it fails; that "
        "does not count as an attempt of `max_attempts`.",
    )
    lease: Duration = Field(
        15.0,
        ge=0.5,
        description="How long a claim lasts without being renewed, by the clock of the request store. A "
        "worker renews at a third of it. After an outage of the store no claim ends for this long.",
    )
    timeout: Duration = Field(21600.0, gt=0, description="Longest time that one attempt may take.")
    grace: Duration = Field(
        20.0, description="How long a worker that is asked to stop waits for its requests to end."
    )
    questions: int = Field(
        1,
        ge=0,
        le=64,
        description="Child processes that answer questions of frontends about data, beside `concurrency`; "
        "each starts with the first question, and ends some minutes after the last. 0: this worker answers "
        "none.",
    )
    retry_delay: Duration = Field(
        1.0, description="Pause before the second attempt; it doubles with each further one, up to a minute."
    )
    input_hosts: list[str] = Field(
        default_factory=list, description="Hosts from which the input of an archive may be fetched."
    )
    max_input: Size = Field(1 << 40, description="Largest input fetched from such a host.")
    max_result: Size | None = Field(
        None, gt=0, description="Largest result, unlimited by default. A larger one fails, and is removed."
    )
    poll_interval: Duration = Field(0.1, description="Key of the earlier server; no effect.")
    management: ManagementSettings = part(ManagementSettings, "Liveness, readiness and metrics.")


class GarbageCollectorSettings(Section):
    """`garbage-collector`: removes what is old, orphaned, or more than the limits allow."""

    interval: Duration = Field(60.0, gt=0, description="Time between two passes.")
    threshold: Size = Field(
        10 << 30,
        description="Size of all results from which on some are removed: the oldest ones of the user who has "
        "most.",
    )
    hard_threshold: Size | None = Field(
        None,
        description="Size of all results from which on those go, too, that `undownloaded_age` would spare; "
        "by default only a full disk makes them go.",
    )
    undownloaded_age: Duration = Field(
        3600.0,
        description="Age up to which a result that was not downloaded is spared beyond `threshold`, for as "
        "long as the disk of the staging has room beside its reserve.",
    )
    age: Duration = Field(86400.0, description="Age at which processed and failed requests are removed.")
    upload_age: Duration = Field(
        86400.0, description="Age at which requests that wait for an upload fail to get one and are removed."
    )
    metric_age: Duration = Field(86400.0, description="Age at which metrics are removed.")
    orphan_age: Duration = Field(
        3600.0, description="Age at which an object is removed that belongs to no request."
    )
    orphan_share: float = Field(
        0.5,
        gt=0,
        le=1,
        description="Largest share of the objects that may belong to no request. If there are more, none of "
        "them is removed, because the request store may be the wrong one, and the log says so. 1 lets it "
        "go on.",
    )
    tombstone_age: Duration = Field(
        7 * 86400.0, description="How long users can learn when and why their request was removed."
    )
    tombstones: int = Field(
        1000, ge=0, description="Removed requests of each user that are remembered for this; the newest ones."
    )
    management: ManagementSettings = part(ManagementSettings, "Liveness, readiness and metrics.")
