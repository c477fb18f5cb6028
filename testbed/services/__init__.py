"""The real servers that the back-ends speak to, started for tests and benchmarks on free ports.

Each is a context manager. It keeps its port and its data through :meth:`Service.kill` and
:meth:`Service.start`, so that a test can see what a client makes of a restart. `python -m
testbed.services` installs or fetches what is missing, and says what it could not get.
"""

from testbed.services.caches import Memcached, Redis
from testbed.services.ldap import LDAP
from testbed.services.mongodb import MongoDB
from testbed.services.postgresql import PostgreSQL
from testbed.services.programs import NotInstalledError
from testbed.services.rabbitmq import RabbitMQ
from testbed.services.s3 import S3, Rclone, S3rver, S3Server
from testbed.services.service import Service

__all__ = [
    "LDAP",
    "S3",
    "Memcached",
    "MongoDB",
    "NotInstalledError",
    "PostgreSQL",
    "RabbitMQ",
    "Rclone",
    "Redis",
    "S3Server",
    "S3rver",
    "Service",
]
