from pathlib import Path
from uuid import uuid4

import pytest

from polytope_server.notices.rabbitmq import RabbitMQNotices
from polytope_server.rabbitmq import RabbitMQSettings
from polytope_server.testing.notices import Connect, NoticesContract
from polytope_server.testing.services import RabbitMQ


class TestRabbitMQNotices(NoticesContract):
    @pytest.fixture
    def connect(self, rabbitmq: RabbitMQ) -> Connect:
        settings = RabbitMQSettings(
            host=rabbitmq.host,
            port=rabbitmq.port,
            user=rabbitmq.user,
            password=rabbitmq.password,
            name=f"n-{uuid4().hex[:8]}",
        )
        return lambda: RabbitMQNotices(settings, Path())
