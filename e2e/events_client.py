"""Foreign readers of events: curl and Python's `requests` read what WebSocket clients publish to `hioload`.

usage: events_client.py --hioload PATH [--driver uring|poll] [--only NAME]
"""

import asyncio
import base64
import json
import random
import subprocess
import sys

import requests
import websockets

from harness import TIME_MAX, main

CHECKS = []
HISTORY = {
    "HIOLOAD_CHANNEL_HISTORY_COUNT": "1000",
    "HIOLOAD_CHANNEL_HISTORY_SIZE": "1MiB",
    "HIOLOAD_CHANNEL_HISTORY_AGE": "10m",
}


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


class Events:
    """A stream of events, by the specification and nothing else of this repository."""

    def __init__(self, url, last_id=None):
        headers = {"Accept": "text/event-stream"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        self.response = requests.get(url, headers=headers, stream=True, timeout=TIME_MAX)
        assert self.response.status_code == 200, self.response.status_code
        assert self.response.headers["Content-Type"] == "text/event-stream"
        self.last_id = ""
        self.lines = self.response.iter_lines(chunk_size=1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.response.close()

    def blocks(self):
        """Blocks of fields, those without data too."""
        fields = {}
        for line in self.lines:
            line = line.decode()
            if line:
                name, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if name == "data" and "data" in fields:
                    value = fields["data"] + "\n" + value
                fields[name] = value
                continue
            self.last_id = fields.get("id", self.last_id)
            yield fields
            fields = {}

    def place(self):
        """Reads until the server has said where the stream begins."""
        for _ in self.blocks():
            if self.last_id:
                return self.last_id
        raise AssertionError("the stream ended")

    def take(self, count):
        found = []
        for fields in self.blocks():
            if "data" in fields:
                found.append((fields.get("event", "message"), fields["data"]))
            if len(found) == count:
                return found
        raise AssertionError(f"the stream ended after {found}")


def publish(server, messages):
    async def send():
        async with websockets.connect(f"ws://{server.addr}/") as socket:
            for message in messages:
                await socket.send(message)
            # The answer to a ping comes behind all of them.
            await (await socket.ping())

    asyncio.run(send())


@check
def requests_reads_what_websockets_publish(server):
    with server.run() as running, Events(running.url) as events:
        events.place()
        messages = [f"line {number}\nand a second: id: 9" for number in range(200)]
        binary = random.Random(1).randbytes(5000)
        publish(running, [*messages, binary, "ü"])
        seen = events.take(202)
        assert seen[:200] == [("message", message) for message in messages]
        name, data = seen[200]
        assert name == "binary" and base64.b64decode(data) == binary
        assert seen[201] == ("message", "ü")


@check
def both_kinds_of_readers_see_the_same_order(server):
    with server.run() as running, Events(running.url) as events:
        events.place()

        async def talk():
            async with websockets.connect(f"ws://{running.addr}/") as reader:
                senders = [await websockets.connect(f"ws://{running.addr}/") for _ in range(4)]
                sends = [
                    sender.send(f"{number} of {place}")
                    for number in range(50)
                    for place, sender in enumerate(senders)
                ]
                await asyncio.gather(*sends)
                seen = [await asyncio.wait_for(reader.recv(), TIME_MAX) for _ in range(200)]
                for sender in senders:
                    await sender.close()
                return seen

        seen = asyncio.run(talk())
        assert [data for _, data in events.take(200)] == seen


@check
def a_reader_that_comes_back_misses_nothing(server):
    with server.run(**HISTORY) as running:
        with Events(running.url) as events:
            events.place()
            publish(running, ["one", "two"])
            assert events.take(1) == [("message", "one")]
            last_id = events.last_id
        publish(running, ["three"])
        with Events(running.url, last_id) as events:
            assert events.take(2) == [("message", "two"), ("message", "three")]
        with Events(running.url, "of another life") as events:
            [(name, data)] = events.take(1)
            assert name == "gap" and json.loads(data)["from"] is None


@check
def curl_reads_events_as_they_come(server):
    with server.run() as running:
        reader = subprocess.Popen(
            ["curl", "-N", "--silent", "--show-error", "--max-time", str(TIME_MAX), running.url + "/events"],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = iter(reader.stdout.readline, "")
        assert next(lines).startswith("retry: ")
        assert next(lines) == "\n"
        assert next(lines).startswith("id: ")
        assert next(lines) == "\n"
        publish(running, ["hello"])
        assert next(lines).startswith("id: ")
        assert next(lines) == "data: hello\n"
        assert next(lines) == "\n"
        running.stop()
        assert [next(lines), next(lines)] == ["event: close\n", "data: 1001 server shutdown\n"]
        assert reader.wait(TIME_MAX) == 0, "the stream ended in order"
        reader.stdout.close()


@check
def curl_reads_events_over_http_2(server):
    with server.run() as running:
        reader = subprocess.Popen(
            [
                "curl", "-N", "--silent", "--show-error", "--include", "--http2-prior-knowledge",
                "--max-time", str(TIME_MAX), running.url + "/events",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        lines = iter(reader.stdout.readline, "")
        head = []
        while (line := next(lines).strip()) != "":
            head.append(line)
        assert head[0].startswith("HTTP/2 200"), head
        assert "content-type: text/event-stream" in head, head
        assert next(lines).startswith("retry: ")
        while not next(lines).startswith("id: "):
            pass
        publish(running, ["hello"])
        while next(lines) != "data: hello\n":
            pass
        running.stop()
        assert "data: 1001 server shutdown\n" in list(lines)
        assert reader.wait(TIME_MAX) == 0, "the stream ended in order"
        reader.stdout.close()


if __name__ == "__main__":
    sys.exit(main(CHECKS))
