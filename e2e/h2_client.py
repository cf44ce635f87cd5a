"""Foreign clients over HTTP/2: Python's `httpx` and `h2`, curl and nghttp speak to `hioload`.

usage: h2_client.py --hioload PATH [--driver uring|poll] [--only NAME]
"""

import asyncio
import concurrent.futures
import json
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import tempfile

import httpx
from websockets.sync.client import connect

from h2_session import BINARY, CLOSE, PING, PONG, TEXT, Session
from h2_wire import DATA, END_STREAM, GOAWAY, HEADERS, NO_ERROR, PREFACE, Ended, Wire, frame, request
from harness import BLOCK_SIZE_MAX, SIZES, TIME_MAX, content, curl, main, name_of

CHECKS = []

# What a server may keep of a block that was deleted does not matter here.
AT_ONCE = {"HIOLOAD_BLOCKS_GRACE": "0s"}


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


def client(server, **more):
    """Prior knowledge: nothing but HTTP/2."""
    return httpx.Client(http1=False, http2=True, base_url=server.url, timeout=TIME_MAX, **more)


def store(web, data, status=201):
    put = web.put(f"/blocks/{name_of(data)}", content=data)
    assert put.status_code == status and put.http_version == "HTTP/2", put
    return put


@check
def httpx_puts_gets_and_deletes(server):
    with server.run(**AT_ONCE), client(server) as web:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            path = f"/blocks/{name_of(data)}"
            assert store(web, data).headers["hioload-durability"] == "durable"
            store(web, data, status=200)
            got = web.get(path)
            assert got.content == data
            assert got.headers["content-length"] == str(size)
            assert got.headers["etag"] == f'"{name_of(data)}"'
            head = web.head(path)
            assert head.headers["content-length"] == str(size) and not head.content
            assert web.get(path, headers={"If-None-Match": got.headers["etag"]}).status_code == 304
            assert web.delete(path).status_code == 204
            assert web.get(path).status_code == 404


@check
def answers_have_no_fields_of_a_connection(server):
    with server.run(), client(server) as web:
        for answer in (web.get("/"), web.get("/stats"), web.get("/nowhere"), web.post("/nowhere", content=b"x")):
            for name in ("connection", "keep-alive", "transfer-encoding", "upgrade"):
                assert name not in answer.headers, f"{answer}: {name}"


@check
def httpx_streams_a_body_of_unknown_length(server):
    def pieces(data):
        yield from (data[at : at + 1000] for at in range(0, len(data), 1000))

    with server.run(), client(server) as web:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            put = web.post("/blocks", content=pieces(data))
            assert (put.status_code, put.text) == (201, name_of(data))
            assert web.get(f"/{name_of(data)}").content == data
        put = web.post("/blocks", content=pieces(content(9, BLOCK_SIZE_MAX + 1)))
        assert put.status_code == 413, put.text
        # The connection outlives a body that nobody wanted.
        store(web, content(10, 1000))


@check
def httpx_reads_ranges(server):
    data = content(1, 300_000)
    with server.run(), client(server) as web:
        store(web, data)
        path = f"/blocks/{name_of(data)}"
        dice = random.Random(2)
        for _ in range(100):
            first = dice.randrange(len(data))
            last = dice.randrange(first, len(data))
            part = web.get(path, headers={"Range": f"bytes={first}-{last}"})
            assert part.status_code == 206 and part.content == data[first : last + 1]
            assert part.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"
        assert web.get(path, headers={"Range": f"bytes={len(data)}-"}).status_code == 416


@check
def httpx_asks_for_what_is_missing(server):
    contents = [content(seed, 1000) for seed in range(500)]
    with server.run(**AT_ONCE), client(server) as web:
        for data in contents[::2]:
            store(web, data)
        names = [name_of(data) for data in contents]
        answer = web.post("/blocks:missing", json={"hashes": names})
        assert answer.json() == {"missing": names[1::2]}


@check
def a_hundred_requests_share_a_connection(server):
    contents = [content(seed, 1000 * (seed + 1)) for seed in range(100)]

    async def all_at_once():
        limits = httpx.Limits(max_connections=1)
        web = httpx.AsyncClient(http1=False, http2=True, base_url=server.url, timeout=TIME_MAX, limits=limits)
        async with web:
            for method, status in (("PUT", 201), ("GET", 200), ("DELETE", 204)):
                requests = [
                    web.request(method, f"/blocks/{name_of(data)}", content=data if method == "PUT" else None)
                    for data in contents
                ]
                answers = await asyncio.gather(*requests)
                assert [answer.status_code for answer in answers] == [status] * 100
                if method == "GET":
                    assert [answer.content for answer in answers] == contents

    with server.run(**AT_ONCE):
        asyncio.run(all_at_once())


@check
def h2_has_a_hundred_answers_under_way(server):
    contents = [content(seed, 5000) for seed in range(100)]
    with server.run(), Session(server.addr) as session:
        puts = [session.request("PUT", f"/blocks/{name_of(data)}", data) for data in contents]
        assert {session.answer(stream).status for stream in puts} == {201}
        gets = [session.request("GET", f"/blocks/{name_of(data)}") for data in contents]
        for stream, data in zip(gets, contents, strict=True):
            assert session.answer(stream).body == data


@check
def uploads_in_turns_all_arrive(server):
    """Each waits for the others: whoever has begun must be let finish."""
    contents = [content(seed, 1000 * (seed + 1)) for seed in range(100)]
    with server.run(), Session(server.addr) as session:
        window = session.connection.local_flow_control_window
        left = {session.begin("PUT", f"/blocks/{name_of(data)}"): data for data in contents}
        streams = list(left)
        while left:
            ready = [stream for stream in left if window(stream)]
            for stream in ready:
                size = min(len(left[stream]), window(stream), 16_384)
                is_last = size == len(left[stream])
                if size:
                    session.send(stream, left[stream][:size], end_stream=is_last)
                    left[stream] = left[stream][size:]
                if is_last:
                    del left[stream]
            if not ready:
                session.turn()
        assert {session.answer(stream).status for stream in streams} == {201}


def messages():
    sizes = [0, 1, 125, 126, 65535, 65536, 300_000]
    return [content(size, size) for size in sizes]


@check
def tunnels_echo_every_size(server):
    with server.run(command="echo", HIOLOAD_BLOCKS_DATA="off"), Session(server.addr) as session:
        assert session.has_tunnels, "no SETTINGS_ENABLE_CONNECT_PROTOCOL"
        tunnels = [session.tunnel() for _ in range(10)]
        for tunnel in tunnels:
            assert tunnel.stream.status == 200, tunnel.stream.head
            assert not {"connection", "upgrade", "sec-websocket-accept"} & set(tunnel.stream.head)
        for message in messages():
            for tunnel in tunnels:
                tunnel.echoes(message)
                if len(message) < 1000:
                    tunnel.echoes(message, piece=1)
        for tunnel in tunnels:
            tunnel.echoes("Grüße, 世界".encode(), TEXT)
            tunnel.send(b"are you there", PING)
            assert tunnel.receive() == (PONG, b"are you there")
        for code, tunnel in enumerate(tunnels, 3000):
            tunnel.close(code)
        # Its streams are free again.
        session.tunnel().echoes(b"once more")


@check
def a_broken_frame_ends_its_tunnel_alone(server):
    with server.run(command="echo", HIOLOAD_BLOCKS_DATA="off"), Session(server.addr) as session:
        healthy, broken = session.tunnel(), session.tunnel()
        # Unmasked.
        session.send(broken.id, b"\x81\x01x")
        assert broken.receive() == (CLOSE, (1002).to_bytes(2)) or broken.stream.has_ended
        session.until(lambda: broken.stream.has_ended)
        healthy.echoes(b"unharmed")


@check
def tunnels_that_end_early_harm_nobody(server):
    with server.run(command="echo", HIOLOAD_BLOCKS_DATA="off"), Session(server.addr) as session:
        healthy = session.tunnel()
        for turn in range(200):
            tunnel = session.tunnel()
            tunnel.send(content(turn, 1000))
            if turn % 2:
                session.send(tunnel.id, b"", end_stream=True)
            else:
                session.connection.reset_stream(tunnel.id, 8)
            healthy.echoes(b"unharmed")
        healthy.close()


@check
def other_handshakes_are_refused(server):
    with server.run(), Session(server.addr) as session:
        cases = {
            "protocol": (session.tunnel(protocol="gopher"), (501, 400)),
            "version": (session.tunnel(version="12"), (426, 400)),
        }
        for name, (tunnel, statuses) in cases.items():
            session.until(lambda: tunnel.stream.has_ended)
            assert tunnel.stream.status in statuses, f"{name}: {tunnel.stream.head}"
        assert session.answer(session.request("GET", "/stats")).status == 200


@check
def versions_share_a_channel(server):
    with server.run(), Session(server.addr) as session, connect(f"ws://{server.addr}/") as old:
        one, two = session.tunnel(), session.tunnel()
        old.send("from HTTP/1.1")
        assert one.receive() == two.receive() == (TEXT, b"from HTTP/1.1")
        one.send(b"from a tunnel")
        assert two.receive() == (BINARY, b"from a tunnel")
        assert old.recv(TIME_MAX) == b"from a tunnel"


@check
def tunnels_live_beside_uploads(server):
    with server.run(), Session(server.addr) as session:
        one, two = session.tunnel(), session.tunnel()
        for turn in range(20):
            data = content(turn, BLOCK_SIZE_MAX)
            put = session.request("PUT", f"/blocks/{name_of(data)}", data)
            one.send(data[:100])
            assert two.receive() == (BINARY, data[:100])
            assert session.answer(put).status == 201
            assert session.answer(session.request("GET", f"/blocks/{name_of(data)}")).body == data


@check
def a_signal_is_told_before_the_end(server):
    data = content(1, 100_000)
    with server.run(), Wire(server.addr) as wire:
        wire.send(frame(HEADERS, 0x4, 1, request("POST", "/blocks")), frame(DATA, 0, 1, data[:10_000]))
        wire.ping()
        server.signal()
        goaway = wire.until(lambda got: got.kind == GOAWAY)
        last, code = int.from_bytes(goaway.payload[:4]), int.from_bytes(goaway.payload[4:8])
        assert (last, code) == (2**31 - 1, NO_ERROR), "the first tells that there will be a second"
        # What has begun is finished.
        for at in range(10_000, len(data), 10_000):
            is_last = at + 10_000 >= len(data)
            wire.send(frame(DATA, END_STREAM if is_last else 0, 1, data[at : at + 10_000]))
        seen = []
        try:
            head, body = None, b""
            while True:
                got = wire.next()
                seen.append(got)
                if got.kind == HEADERS:
                    head = wire.fields(got)
                elif got.kind == DATA:
                    body += got.payload
        except Ended:
            pass
        assert head[":status"] == "201" and body.decode() == name_of(data), (head, body)
        ends = [int.from_bytes(got.payload[:4]) for got in seen if got.kind == GOAWAY]
        assert ends[-1:] == [1], f"last streams told: {ends}"
        assert server.process.wait(TIME_MAX) == 0


@check
def a_signal_ends_tunnels_in_order(server):
    with server.run(), Wire(server.addr) as wire:
        opening = [(":protocol", "websocket"), ("sec-websocket-version", "13")]
        wire.send(frame(HEADERS, 0x4, 1, request("CONNECT", "/", *opening)))
        assert wire.fields(wire.until(lambda got: got.kind == HEADERS))[":status"] == "200"
        server.signal()
        close = wire.until(lambda got: got.kind == DATA and got.payload)
        assert close.payload[:1] == b"\x88" and int.from_bytes(close.payload[2:4]) == 1001, close
        wire.send(frame(DATA, END_STREAM, 1, b"\x88\x82\0\0\0\0\x03\xe9"))
        try:
            while True:
                wire.next()
        except Ended:
            pass
        assert server.process.wait(TIME_MAX) == 0


@check
def a_preface_in_pieces_is_a_preface(server):
    with server.run():
        for step in (1, 2, 5, 23):
            with Wire(server.addr, greets=False) as wire:
                hello = PREFACE + frame(4) + frame(HEADERS, 0x5, 1, request("GET", "/stats"))
                for at in range(0, len(hello), step):
                    wire.send(hello[at : at + step])
                head, body = wire.answer(1)
                assert head[":status"] == "200" and json.loads(body)


def h2_curl(*arguments, stdin=None):
    return curl("--http2-prior-knowledge", *arguments, stdin=stdin)


@check
def curl_uploads_and_downloads_files(server):
    with server.run(), tempfile.TemporaryDirectory() as place:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            source, target = pathlib.Path(place, "source"), pathlib.Path(place, "target")
            source.write_bytes(data)
            url = f"{server.url}/blocks/{name_of(data)}"
            for more in [(), ("--header", "Expect: 100-continue")]:
                report = "%{http_code} %{http_version}"
                done = h2_curl("--upload-file", str(source), "--write-out", report, "--output", os.devnull, *more, url)
                assert done in (b"201 2", b"200 2"), done
            h2_curl("--output", str(target), url)
            assert target.read_bytes() == data
            assert h2_curl("--range", "0-0", url) == data[:1]
            assert b"HTTP/2 200" in h2_curl("--head", url)


def tool(name, *arguments):
    """Runs a tool of nghttp2, which must succeed; nothing where there is none."""
    if not shutil.which(name):
        print(f"NOT CHECKED: {name} is not in PATH (Debian: apt-get install nghttp2-client)", flush=True)
        return None
    done = subprocess.run([name, *arguments], capture_output=True, text=True, timeout=2 * TIME_MAX)
    assert done.returncode == 0, f"{name} {arguments}: {done.returncode} {done.stderr}"
    return done.stdout


@check
def nghttp_gets_and_posts(server):
    data = content(1, 200_000)
    with server.run(), client(server) as web, tempfile.TemporaryDirectory() as place:
        store(web, data)
        url = f"{server.url}/blocks/{name_of(data)}"
        report = tool("nghttp", "--null-out", "--verbose", "--multiply=50", url)
        if report is None:
            return
        assert report.count(":status: 200") == 50, report
        assert "RST_STREAM" not in report, report
        source = pathlib.Path(place, "source")
        for length in ([], ["--no-content-length"]):
            more = content(2 + len(length), 300_000)
            source.write_bytes(more)
            report = tool("nghttp", "--data", str(source), *length, f"{server.url}/blocks")
            assert report == name_of(more), report
        # Trailers end a body, too.
        more = content(4, 30_000)
        source.write_bytes(more)
        report = tool("nghttp", "--data", str(source), "--trailer=x-checked: yes", f"{server.url}/blocks")
        assert report == name_of(more), report


@check
def h2load_gets_what_it_asks_for(server):
    data = content(1, 4096)
    with server.run(), client(server) as web:
        store(web, data)
        url = f"{server.url}/blocks/{name_of(data)}"
        report = tool("h2load", "--clients=8", "--max-concurrent-streams=32", "--requests=20000", url)
        if report is not None:
            assert re.search(r"20000 2xx, 0 3xx, 0 4xx, 0 5xx", report), report
            assert f"({20_000 * 4096}) data" in report, report


@check
def clients_of_both_versions_share_a_port(server):
    def talk(number):
        with httpx.Client(http1=number % 2 == 0, http2=number % 2 == 1, base_url=server.url, timeout=TIME_MAX) as web:
            for turn in range(30):
                data = content(number * 1000 + turn, 3000 * (turn + 1))
                assert web.put(f"/blocks/{name_of(data)}", content=data).status_code == 201
                assert web.get(f"/blocks/{name_of(data)}").content == data
        return True

    with server.run(), concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(talk, range(8)))


def secure(server):
    """A server with a certificate of its own making."""
    return server.run("--tls", "self-signed", scheme="https")


@check
def curl_agrees_on_http_2_over_tls(server):
    data = content(1, BLOCK_SIZE_MAX)
    with secure(server):
        name = curl("--insecure", "--http2", "--data-binary", "@-", f"{server.url}/blocks", stdin=data).decode()
        assert name == name_of(data)
        for flag, version in (("--http2", b"2"), ("--http1.1", b"1.1")):
            done = curl("--insecure", flag, "--write-out", "%{http_version}", f"{server.url}/blocks/{name}")
            assert done == data + version, done[-10:]


@check
def curl_reuses_a_connection(server):
    # Over TLS: with prior knowledge curl 7.88 forgets what it has agreed on, whoever serves.
    data = content(1, 200_000)
    with secure(server):
        name = curl("--insecure", "--http2", "--data-binary", "@-", f"{server.url}/blocks", stdin=data).decode()
        url = f"{server.url}/{name}"
        out = curl("--insecure", "--http2", "--write-out", "%{num_connects}", url, url, url)
        assert out == data + b"1" + data + b"0" + data + b"0"


@check
def curl_has_many_transfers_on_a_connection(server):
    contents = [content(seed, 50_000) for seed in range(60)]
    with secure(server), tempfile.TemporaryDirectory() as place:
        arguments = []
        for data in contents:
            curl("--insecure", "--data-binary", "@-", f"{server.url}/blocks", stdin=data)
            arguments += ["--output", f"{place}/{name_of(data)}", f"{server.url}/blocks/{name_of(data)}"]
        curl("--insecure", "--parallel", "--parallel-max", "60", "--http2", *arguments)
        for data in contents:
            assert pathlib.Path(place, name_of(data)).read_bytes() == data


@check
def httpx_agrees_on_http_2_over_tls(server):
    with secure(server), httpx.Client(http2=True, verify=False, base_url=server.url, timeout=TIME_MAX) as web:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            store(web, data)
            assert web.get(f"/blocks/{name_of(data)}").content == data


if __name__ == "__main__":
    sys.exit(main(CHECKS))
