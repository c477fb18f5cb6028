"""What a process remembers of leases in MongoDB."""

from collections.abc import AsyncIterator

import pytest
from mongodb_stores import Documents
from pymongo import AsyncMongoClient
from pymongo.asynchronous.collection import AsyncCollection

from polytope_server.drivers.mongodb import Document
from polytope_server.request_store.mongodb.leases import Leases
from testbed.services import MongoDB


@pytest.fixture
async def leases(mongodb: MongoDB, documents: Documents) -> AsyncIterator[AsyncCollection[Document]]:
    async with AsyncMongoClient[Document](mongodb.uri) as client:
        yield client[documents.database.name][documents.name]


async def test_the_end_of_a_lease_that_another_instance_renews_is_read_again_in_time(
    leases: AsyncCollection[Document],
) -> None:
    now = 0.0
    renewing, working = Leases(leases), Leases(leases, clock=lambda: now)
    ends = []
    for passed in (0.0, 1.0, 25.0):  # seconds; a third of 60 is 20
        now = passed
        term = await renewing.take("broker", "b", 60)
        assert term == 1
        lead = await working.find("broker", "b", term)
        assert lead is not None
        ends.append(lead.until)
    assert ends[0] == ends[1] < ends[2]


async def test_a_leader_that_was_held_up_knows_nothing_of_its_successor(
    leases: AsyncCollection[Document],
) -> None:
    former, present = Leases(leases), Leases(leases)
    old = await former.take("broker", "former", 60)
    assert old is not None
    await present.give_back("broker", "former")
    assert await present.take("broker", "present", 60) == old + 1
    lead = await former.find("broker", "former", old)
    assert lead is not None
    assert (lead.holder, lead.term) == ("former", old)
