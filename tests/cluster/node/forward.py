#!/usr/bin/env python3
"""Carry connections from a port of the host's 127.0.0.1 to one of the node, which has a network of its own.

slirp4netns can open ports as well, but its queue of new connections has room for one: it resets some of them
when many come at a time, which then looks like a fault of the server under test.
"""

import argparse
import asyncio
import contextlib
import ctypes
import os
import socket

_CLONE_NEWNET = 0x40000000
_BACKLOG = 512


async def carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One direction of a connection, up to its end."""
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write_eof()


async def connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    """Both directions; a failure of either ends both at once."""
    ends = [writer]
    try:
        node_reader, node_writer = await asyncio.open_connection(host, port)
        ends.append(node_writer)
        async with asyncio.TaskGroup() as both:
            both.create_task(carry(reader, node_writer))
            both.create_task(carry(node_reader, writer))
    except* OSError:
        for end in ends:
            end.transport.abort()
    finally:
        for end in ends:
            end.close()
            with contextlib.suppress(OSError):
                await end.wait_closed()


async def serve(listener: socket.socket, host: str, port: int) -> None:
    server = await asyncio.start_server(
        lambda reader, writer: connect(reader, writer, host, port), sock=listener, backlog=_BACKLOG
    )
    print("ready", flush=True)
    async with server:
        await server.serve_forever()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=int, help="of the host")
    parser.add_argument("node", help="address of the node")
    parser.add_argument("node_port", type=int)
    parser.add_argument("--network", type=int, required=True, help="file descriptor of the node's namespace")
    args = parser.parse_args()
    # A socket stays in the namespace in which it was made.
    listener = socket.create_server(("127.0.0.1", args.port), backlog=_BACKLOG)
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(args.network, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    asyncio.run(serve(listener, args.node, args.node_port))


if __name__ == "__main__":
    main()
