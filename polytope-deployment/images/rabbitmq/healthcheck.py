"""Whether RabbitMQ answers a client: exit status 0 or 1."""

import socket
import sys

try:
    with socket.create_connection(("127.0.0.1", 5672), timeout=3) as connection:
        connection.sendall(b"AMQP\x00\x00\x09\x01")
        answer = connection.recv(3)
except OSError as error:
    sys.exit(str(error))
sys.exit(0 if answer == b"\x01\x00\x00" else "not AMQP")
