"""Whether Redis answers a client with its password: exit status 0 or 1."""

import os
import socket
import sys

password = os.environ["REDIS_PASSWORD"].encode()
try:
    with socket.create_connection(("127.0.0.1", 6379), timeout=3) as connection:
        connection.sendall(b"*2\r\n$4\r\nAUTH\r\n$%d\r\n%s\r\n" % (len(password), password))
        answer = connection.recv(64)
except OSError as error:
    sys.exit(str(error))
sys.exit(0 if answer == b"+OK\r\n" else answer.decode(errors="replace"))
