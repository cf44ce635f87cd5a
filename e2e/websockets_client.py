"""A foreign client against the server: Python's `websockets` speaks to `hioload`.

usage: websockets_client.py --hioload PATH [--driver uring|poll] [--only NAME]

Each check starts a server of its own on a port the kernel chooses, and ends it. Waiting is for
events only; TIME_MAX turns a hang into a failure.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
import traceback

from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory

TIME_MAX = 20
READY = "listening on "

CHECKS = []


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


class Server:
    """One `hioload` process, and connections to it."""

    def __init__(self, binary, driver):
        self.binary = binary
        self.driver = driver
        self.process = None
        self.addr = None

    @contextlib.asynccontextmanager
    async def run(self, command, *flags):
        arguments = ["--addr", "127.0.0.1:0", "--admin", "off"]
        if self.driver:
            arguments += ["--driver", self.driver]
        self.process = await asyncio.create_subprocess_exec(
            self.binary,
            command,
            *arguments,
            *flags,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, "HIOLOAD_BLOCKS_DATA": "off"},
        )
        try:
            while self.addr is None:
                line = (await self.process.stdout.readline()).decode()
                assert line, f"hioload {command} ended before it listened"
                if line.startswith(READY):
                    self.addr = line.removeprefix(READY).strip()
            yield self
        finally:
            if self.process.returncode is None:
                self.process.kill()
            await self.process.wait()
            self.addr = None

    def connect(self, **options):
        options.setdefault("compression", None)
        return connect(f"ws://{self.addr}/", max_size=None, ping_interval=None, **options)

    async def raw(self, request):
        """Sends bytes, and gives everything that comes back until the server closes."""
        host, port = self.addr.rsplit(":", 1)
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(request)
        answer = await reader.read()
        writer.close()
        return answer


async def echoes(websocket, message):
    await websocket.send(message)
    if not isinstance(message, (str, bytes)):
        message = type(message[0])().join(message)
    answer = await websocket.recv()
    assert answer == message, f"sent {len(message)}, got {len(answer)} of {type(answer).__name__}"


MESSAGES = [
    "",
    b"",
    "text",
    "Grüße, 世界, 🦀",
    bytes(range(256)),
    "x" * 125,
    "x" * 126,
    b"y" * 65535,
    b"y" * 65536,
    "z" * 1_000_000,
    ["in ", "three ", "fragments"],
    [b"a" * 1000] * 50,
]


@check
async def echo_returns_every_kind_and_size(server):
    async with server.run("echo"), server.connect() as websocket:
        for message in MESSAGES:
            await echoes(websocket, message)


@check
async def echo_returns_deflated_messages(server):
    offers = [
        {},
        {"client_no_context_takeover": True, "server_no_context_takeover": True},
        {"client_max_window_bits": 10, "server_max_window_bits": 10},
    ]
    async with server.run("echo", "--config", "conformance/echo.toml"):
        for offer in offers:
            factory = ClientPerMessageDeflateFactory(**offer)
            async with server.connect(extensions=[factory]) as websocket:
                assert websocket.protocol.extensions, f"{offer}: deflate was not agreed"
                for message in MESSAGES:
                    await echoes(websocket, message)


@check
async def pipelined_messages_return_in_order(server):
    async with server.run("echo"), server.connect() as websocket:
        for number in range(1000):
            await websocket.send(str(number))
        for number in range(1000):
            assert await websocket.recv() == str(number)


@check
async def pings_are_answered_between_messages(server):
    async with server.run("echo"), server.connect() as websocket:
        for payload in (b"", b"ping", b"p" * 125):
            pong = await websocket.ping(payload)
            await echoes(websocket, "beside a ping")
            await pong


@check
async def closes_are_answered_with_their_code(server):
    async with server.run("echo"):
        for code in (1000, 1001, 3000, 4999):
            async with server.connect() as websocket:
                await websocket.close(code, "as agreed")
                assert websocket.protocol.close_rcvd.code == code, websocket.protocol.close_rcvd


@check
async def a_message_reaches_all_but_its_sender(server):
    async with server.run("serve"), contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(server.connect()) for _ in range(20)]
        for message in ("from the first", b"\x00\xff", ["in ", "parts"]):
            await clients[0].send(message)
            expected = "in parts" if isinstance(message, list) else message
            for client in clients[1:]:
                assert await client.recv() == expected
        # What the sender receives next is another's message: its own never came.
        await clients[1].send("from the second")
        assert await clients[0].recv() == "from the second"


@check
async def all_clients_see_one_order(server):
    async with server.run("serve"), contextlib.AsyncExitStack() as stack:
        senders = [await stack.enter_async_context(server.connect()) for _ in range(3)]
        readers = [await stack.enter_async_context(server.connect()) for _ in range(5)]

        async def publish(sender, name):
            for number in range(200):
                await sender.send(f"{name} {number}")

        async def read(client, count):
            return [await client.recv() for _ in range(count)]

        tasks = [publish(sender, index) for index, sender in enumerate(senders)]
        tasks += [read(sender, 400) for sender in senders]
        results = await asyncio.gather(*tasks, *(read(reader, 600) for reader in readers))
        first, *others = results[6:]
        assert all(other == first for other in others), "readers disagree about the order"
        for index in range(3):
            own = [message for message in first if message.startswith(f"{index} ")]
            assert own == [f"{index} {number}" for number in range(200)], "a sender was reordered"


@check
async def a_client_that_leaves_costs_the_others_nothing(server):
    async with server.run("serve"), server.connect() as sender, server.connect() as reader:
        async with server.connect() as leaver:
            leaver.transport.abort()
        await sender.send("still there")
        assert await reader.recv() == "still there"


@check
async def broken_requests_get_an_http_answer(server):
    good = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA==",
        "Sec-WebSocket-Version": "13",
    }

    def head(line="GET / HTTP/1.1", **changes):
        fields = {**good, **{name.replace("_", "-"): value for name, value in changes.items()}}
        lines = [line] + [f"{name}: {value}" for name, value in fields.items() if value is not None]
        return ("\r\n".join(lines) + "\r\n\r\n").encode()

    requests = {
        "method": (405, head("POST / HTTP/1.1")),
        "version of HTTP": (505, head("GET / HTTP/1.0")),
        "no host": (400, head(Host=None)),
        "no upgrade": (426, head(Upgrade=None)),
        "no key": (400, head(Sec_WebSocket_Key=None)),
        "short key": (400, head(Sec_WebSocket_Key="AAAA")),
        "version": (426, head(Sec_WebSocket_Version="12")),
        "oversized": (431, head(Padding="x" * 100_000)),
        "no HTTP at all": (400, b"\x16\x03\x01\x02\x00\r\n\r\n"),
    }
    async with server.run("serve"):
        for name, (status, request) in requests.items():
            # Who sends on after the refusal may lose it to the reset.
            may_reset = [ConnectionResetError] if name == "oversized" else []
            with contextlib.suppress(*may_reset):
                answer = await server.raw(request)
                assert answer.startswith(f"HTTP/1.1 {status} ".encode()), f"{name}: {answer[:60]!r}"
        answer = await server.raw(requests["version"][1])
        assert b"sec-websocket-version: 13" in answer.lower(), answer


@check
async def broken_frames_get_their_close_code(server):
    frames = {
        "unmasked": (b"\x81\x01x", 1002),
        "reserved opcode": (b"\x83\x80\x00\x00\x00\x00", 1002),
        "reserved bit": (b"\xf1\x80\x00\x00\x00\x00", 1002),
        "fragmented ping": (b"\x09\x80\x00\x00\x00\x00", 1002),
        "length not minimal": (b"\x82\xfe\x00\x01\x00\x00\x00\x00x", 1002),
        "not UTF-8": (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
    }
    async with server.run("echo"):
        for name, (frame, code) in frames.items():
            async with server.connect() as websocket:
                websocket.transport.write(frame)
                try:
                    await websocket.recv()
                except ConnectionClosed as closed:
                    assert closed.rcvd and closed.rcvd.code == code, f"{name}: {closed}"
                else:
                    raise AssertionError(f"{name}: taken")


@check
async def a_signal_ends_the_server_in_order(server):
    async with server.run("serve") as running, server.connect() as one, server.connect() as two:
        await one.send("last words")
        assert await two.recv() == "last words"
        running.process.send_signal(signal.SIGTERM)
        for client in (one, two):
            try:
                await client.recv()
            except ConnectionClosed as closed:
                assert closed.rcvd and closed.rcvd.code == 1001, str(closed)
        assert await running.process.wait() == 0


async def run(arguments):
    passes, failures = 0, 0
    for function in CHECKS:
        if arguments.only and arguments.only not in function.__name__:
            continue
        name = function.__name__.replace("_", " ")
        server = Server(arguments.hioload, arguments.driver)
        try:
            await asyncio.wait_for(function(server), TIME_MAX)
        except Exception:
            failures += 1
            print(f"FAILED {name}", flush=True)
            traceback.print_exc()
        else:
            passes += 1
            print(f"ok     {name}", flush=True)
    print(f"{passes} passed, {failures} failed (driver {arguments.driver})")
    # Nothing selected is no success.
    return 0 if passes and not failures else 1


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--hioload", required=True)
    parser.add_argument("--driver")
    parser.add_argument("--only")
    return asyncio.run(run(parser.parse_args()))


if __name__ == "__main__":
    sys.exit(main())
