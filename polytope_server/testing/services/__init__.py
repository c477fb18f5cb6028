"""The real servers that the back-ends speak to, started for tests and benchmarks on free ports.

Each is a context manager. It keeps its port and its data through :meth:`Service.kill` and
:meth:`Service.start`, so that a test can see what a client makes of a restart. `python -m
polytope_server.testing.services` installs or fetches what is missing, and says what it could not get.
"""

from polytope_server.testing.services.caches import Memcached, Redis
from polytope_server.testing.services.ldap import LDAP
from polytope_server.testing.services.mongodb import MongoDB
from polytope_server.testing.services.postgresql import PostgreSQL
from polytope_server.testing.services.programs import NotInstalledError
from polytope_server.testing.services.rabbitmq import RabbitMQ
from polytope_server.testing.services.s3 import S3
from polytope_server.testing.services.service import Service

__all__ = [
    "LDAP",
    "S3",
    "Memcached",
    "MongoDB",
    "NotInstalledError",
    "PostgreSQL",
    "RabbitMQ",
    "Redis",
    "Service",
]
