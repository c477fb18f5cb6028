"""Whether MongoDB takes writes: exit status 0 or 1."""

import sys

from pymongo import MongoClient
from pymongo.errors import PyMongoError

try:
    with MongoClient("localhost", 27017, directConnection=True, serverSelectionTimeoutMS=3000) as client:
        writable = bool(client.admin.command("hello")["isWritablePrimary"])
except PyMongoError as error:
    sys.exit(str(error))
sys.exit(0 if writable else "not primary")
