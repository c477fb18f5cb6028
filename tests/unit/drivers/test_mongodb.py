import asyncio
from typing import Any

import pytest
from pydantic import ValidationError
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    DuplicateKeyError,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)

from polytope_server.drivers.mongodb import (
    Connection,
    MongoDBHostSettings,
    MongoDBSettings,
    MongoDBUnavailableError,
)
from polytope_server.request_store import StoreUnavailableError
from polytope_server.settings.masking import mask


class TestSettings:
    @pytest.mark.parametrize(
        "uri",
        [
            "localhost:27017",
            "http://localhost",
            "mongodb://",
            "mongodb://u:hunter2@h:port",
            "mongodb://u:hunter2@@h",
            "mongodb://u:hunter2/x@h",
            "mongodb://h/?unknownOption=hunter2",
        ],
    )
    def test_what_is_no_address_is_refused_without_showing_it(self, uri: str) -> None:
        with pytest.raises(ValidationError, match="mongodb://") as caught:
            MongoDBSettings(uri=uri)
        assert "hunter2" not in str(caught.value)

    @pytest.mark.parametrize(
        "uri", ["mongodb://a:1,b:2/?replicaSet=r&tls=true", "mongodb+srv://name.example"]
    )
    def test_addresses_are_taken_as_they_are(self, uri: str) -> None:
        assert MongoDBSettings(uri=uri).uri == uri

    def test_empty_account_keys_are_none(self) -> None:
        assert MongoDBSettings(username="", password="") == MongoDBSettings(username=None, password=None)

    def test_a_password_needs_a_username(self) -> None:
        with pytest.raises(ValidationError, match="username") as caught:
            MongoDBSettings(password="hunter2")
        assert "hunter2" not in str(caught.value)

    def test_no_representation_shows_a_password(self) -> None:
        settings = MongoDBSettings(uri="mongodb://u:hunter2@h", username="v", password="hunter2")
        shown = f"{settings!r} {settings} {mask(settings.model_dump())} {Connection.at(settings).server}"
        assert "hunter2" not in shown

    @pytest.mark.parametrize(
        ("keys", "uri"),
        [
            ({}, "mongodb://localhost:27017"),
            ({"host": "db"}, "mongodb://db:27017"),
            ({"host": "db", "port": "27018"}, "mongodb://db:27018"),
            ({"host": "db:1234", "port": 27018}, "mongodb://db:1234"),
            ({"host": "mongodb://db", "port": 27018}, "mongodb://db:27018"),
            ({"host": "mongodb://u:p@db", "port": 27018}, "mongodb://u:p@db:27018"),
            ({"host": "mongodb://db:1/?tls=true"}, "mongodb://db:1/?tls=true"),
            ({"host": "mongodb+srv://db"}, "mongodb+srv://db"),
            ({"uri": "mongodb://db:5"}, "mongodb://db:5"),
        ],
    )
    def test_host_and_port_stand_for_an_address(self, keys: dict[str, Any], uri: str) -> None:
        assert MongoDBHostSettings(**keys).uri == uri

    def test_two_ways_to_name_the_server_are_one_too_many(self) -> None:
        with pytest.raises(ValidationError, match="either"):
            MongoDBHostSettings(uri="mongodb://a", host="b")  # type: ignore[call-arg]


class TestConnection:
    def test_one_server_and_account_have_one_connection(self) -> None:
        first = Connection.at(MongoDBSettings(uri="mongodb://a"))
        assert Connection.at(MongoDBSettings(uri="mongodb://a")) is first
        assert Connection.at(MongoDBSettings(uri="mongodb://a", username="u")) is not first
        assert Connection.at(MongoDBSettings(uri="mongodb://b")) is not first

    async def test_it_closes_with_its_last_user(self) -> None:
        connection = Connection(MongoDBSettings(uri="mongodb://u:p@a:1,b:2/?appName=x"))
        assert connection.server == "a:1,b:2"
        await connection.open()
        await connection.open()
        await connection.close()
        assert connection.collection("d", "c").full_name == "d.c"
        await connection.close()
        with pytest.raises(MongoDBUnavailableError, match="a:1,b:2 is not open"):
            connection.collection("d", "c")

    async def test_an_opening_that_fails_leaves_it_closed(self) -> None:
        connection = Connection(MongoDBSettings())

        async def fail() -> None:
            raise AutoReconnect("no")

        with pytest.raises(MongoDBUnavailableError, match="localhost:27017: no"):
            await connection.open(fail)
        with pytest.raises(MongoDBUnavailableError, match="not open"):
            connection.collection("d", "c")

    async def test_writes_are_durable_whatever_the_address_says(self) -> None:
        connection = Connection(MongoDBSettings(uri="mongodb://a/?w=1&journal=false&timeoutMS=1500"))
        await connection.open()
        collection = connection.collection("d", "c")
        assert collection.write_concern.document == {"w": "majority", "j": True}
        assert collection.database.client.options.timeout == 1.5
        await connection.close()


class TestOperations:
    @pytest.mark.parametrize(
        ("error", "text"),
        [
            (ServerSelectionTimeoutError("a:1: refused, Timeout: 4s, Topology: <long>"), "a:1: refused"),
            (AutoReconnect("a:1: closed (configured timeouts: timeoutMS: 1)"), "a:1: closed"),
            (OperationFailure("no, full error: {}", 18, {"errmsg": "no such user"}), "no such user"),
            (OperationFailure("short, full error: {...}"), "short"),
            (BulkWriteError({"writeErrors": [{"errmsg": "one"}, {"errmsg": "two"}]}), "one"),
            (BulkWriteError({"writeErrors": [], "writeConcernErrors": [{"errmsg": "late"}]}), "late"),
            (WriteConcernError("x", 64, {"writeConcernError": {"errmsg": "waited"}}), "waited"),
            (PyMongoError("x" * 1000), "x" * 300),
        ],
    )
    async def test_an_error_of_the_driver_is_explained_in_short(self, error: PyMongoError, text: str) -> None:
        connection = Connection(MongoDBSettings(uri="mongodb://u:hunter2@a:1"))
        with pytest.raises(StoreUnavailableError) as caught, connection.failing_with(StoreUnavailableError):
            raise error
        assert str(caught.value) == f"MongoDB at a:1: {text}"
        assert caught.value.__cause__ is error

    async def test_other_errors_pass(self) -> None:
        operations = Connection(MongoDBSettings()).failing_with(StoreUnavailableError)
        for error in (DuplicateKeyError("twice"), ValueError("other"), StoreUnavailableError("so")):
            with pytest.raises(type(error)) as caught, operations:
                raise error
            assert caught.value is error

    async def test_a_connection_that_is_not_open_is_unavailable_in_the_terms_of_the_caller(self) -> None:
        connection = Connection(MongoDBSettings())
        operations = connection.failing_with(StoreUnavailableError)
        with pytest.raises(StoreUnavailableError, match="not open"), operations:
            connection.collection("d", "c")

    @pytest.mark.parametrize("outcome", [None, AutoReconnect("closed")])
    async def test_a_cancellation_that_the_driver_swallows_is_one(self, outcome: Exception | None) -> None:
        operations = Connection(MongoDBSettings()).failing_with(StoreUnavailableError)
        started = asyncio.Event()

        async def swallow() -> None:
            with operations:
                try:
                    started.set()
                    await asyncio.Event().wait()
                except asyncio.CancelledError:
                    if outcome is not None:
                        raise outcome from None

        task = asyncio.create_task(swallow())
        await started.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def test_operations_of_a_task_that_was_cancelled_before_go_on(self) -> None:
        operations = Connection(MongoDBSettings()).failing_with(StoreUnavailableError)
        started = asyncio.Event()

        async def clean_up() -> str:
            try:
                started.set()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                with operations:
                    await asyncio.sleep(0)
                return "done"
            return "not cancelled"

        task = asyncio.create_task(clean_up())
        await started.wait()
        task.cancel()
        assert await task == "done"
