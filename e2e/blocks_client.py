"""Foreign clients against the block store: Python's `requests` and curl speak to `hioload`.

usage: blocks_client.py --hioload PATH [--driver uring|poll] [--only NAME]
"""

import base64
import concurrent.futures
import hashlib
import os
import pathlib
import random
import subprocess
import sys
import tempfile

import requests

from harness import BLOCK_SIZE_MAX, SIZES, TIME_MAX, content, curl, main, name_of

CHECKS = []


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


def session():
    """A session that does not hang for ever."""
    made = requests.Session()
    plain = made.request
    made.request = lambda *args, **more: plain(*args, timeout=TIME_MAX, **more)
    return made


@check
def requests_puts_gets_and_deletes(server):
    with server.run(HIOLOAD_BLOCKS_GRACE="0s"), session() as web:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            url = f"{server.url}/blocks/{name_of(data)}"
            put = web.put(url, data=data)
            assert put.status_code == 201, put.text
            assert put.headers["Hioload-Durability"] == "durable"
            assert web.put(url, data=data).status_code == 200
            got = web.get(url)
            assert got.content == data
            assert got.headers["ETag"] == f'"{name_of(data)}"'
            digest = base64.b64encode(hashlib.sha256(data).digest()).decode()
            assert got.headers["Repr-Digest"] == f"sha-256=:{digest}:", got.headers
            head = web.head(url)
            assert int(head.headers["Content-Length"]) == size and not head.content
            tag = {"If-None-Match": got.headers["ETag"]}
            assert web.get(url, headers=tag).status_code == 304
            assert web.delete(url).status_code == 204
            assert web.get(url).status_code == 404


@check
def requests_streams_a_body_in_chunks(server):
    def pieces(data):
        yield from (data[at : at + 1000] for at in range(0, len(data), 1000))

    with server.run(), session() as web:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            put = web.post(f"{server.url}/blocks", data=pieces(data))
            assert (put.status_code, put.text) == (201, name_of(data))
            assert web.get(f"{server.url}/{name_of(data)}").content == data
        put = web.post(f"{server.url}/blocks", data=pieces(content(9, BLOCK_SIZE_MAX + 1)))
        assert put.status_code == 413, put.text


@check
def requests_reads_ranges(server):
    data = content(1, 300_000)
    with server.run(), session() as web:
        url = f"{server.url}/blocks/{name_of(data)}"
        assert web.put(url, data=data).status_code == 201
        dice = random.Random(2)
        for _ in range(100):
            first = dice.randrange(len(data))
            last = dice.randrange(first, len(data))
            part = web.get(url, headers={"Range": f"bytes={first}-{last}"})
            assert part.status_code == 206 and part.content == data[first : last + 1]
            assert part.headers["Content-Range"] == f"bytes {first}-{last}/{len(data)}"
        assert web.get(url, headers={"Range": f"bytes={len(data)}-"}).status_code == 416


@check
def requests_asks_for_what_is_missing(server):
    contents = [content(seed, 1000) for seed in range(500)]
    with server.run(HIOLOAD_BLOCKS_GRACE="0s"), session() as web:
        for data in contents[::2]:
            assert web.put(f"{server.url}/blocks/{name_of(data)}", data=data).status_code == 201
        names = [name_of(data) for data in contents]
        answer = web.post(f"{server.url}/blocks:missing", json={"hashes": names})
        assert answer.json() == {"missing": names[1::2]}
        answer = web.post(f"{server.url}/blocks:delete", data="\n".join(names))
        found = answer.json()
        expected = {"deleted": names[::2], "missing": names[1::2], "kept": [], "failed": []}
        assert found == expected, found


@check
def requests_locks_a_block(server):
    data = content(1, 1000)
    with server.run(HIOLOAD_BLOCKS_GRACE="0s"), session() as web:
        url = f"{server.url}/blocks/{name_of(data)}"
        assert web.put(url, data=data).status_code == 201
        assert web.put(f"{url}/refs/job-1", data=b"until Friday").status_code == 201
        assert web.get(f"{url}/refs/job-1").content == b"until Friday"
        assert web.get(f"{url}/refs").json() == {"references": ["job-1"]}
        assert web.delete(url).status_code == 409
        assert web.delete(f"{url}/refs/job-1").status_code == 204
        assert web.delete(url).status_code == 204


@check
def requests_on_many_threads(server):
    def client(number):
        with session() as web:
            for turn in range(30):
                data = content(number * 1000 + turn, 3000 * (turn + 1))
                url = f"{server.url}/blocks/{name_of(data)}"
                assert web.put(url, data=data).status_code == 201
                assert web.get(url).content == data
        return True

    with server.run(), concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert all(pool.map(client, range(8)))
        stats = requests.get(f"{server.url}/stats", timeout=TIME_MAX).json()
        assert stats["totals"]["stored"] <= 8 * 30


@check
def the_description_is_what_is_served(server):
    with server.run(), session() as web:
        api = web.get(f"{server.url}/openapi.json").json()
        assert api["openapi"].startswith("3."), api["openapi"]
        data = content(1, 1000)
        web.put(f"{server.url}/blocks/{name_of(data)}", data=data)
        names = {"hash": name_of(data), "name": "some-name"}
        for path, methods in api["paths"].items():
            for method, described in methods.items():
                if method not in ("get", "head", "put", "post", "delete"):
                    continue
                answer = web.request(method.upper(), server.url + path.format(**names), data=b"")
                known = set(described["responses"])
                status = str(answer.status_code)
                assert status in known or "default" in known, f"{method} {path}: {status}, not {known}"


@check
def curl_uploads_and_downloads_files(server):
    with server.run(), tempfile.TemporaryDirectory() as place:
        for seed, size in enumerate(SIZES):
            data = content(seed, size)
            source, target = pathlib.Path(place, "source"), pathlib.Path(place, "target")
            source.write_bytes(data)
            url = f"{server.url}/blocks/{name_of(data)}"
            # Above a megabyte curl waits for 100 Continue by itself; here it is told to.
            for more in [(), ("--header", "Expect: 100-continue"), ("--header", "Transfer-Encoding: chunked")]:
                status = curl("--upload-file", str(source), "--write-out", "%{http_code}", "--output", os.devnull, *more, url)
                assert status in (b"201", b"200"), status
            curl("--output", str(target), url)
            assert target.read_bytes() == data
            assert curl("--range", "0-0", url) == data[:1]
            assert b"HTTP/1.1 200" in curl("--head", url)


@check
def curl_pipes_and_reuses_a_connection(server):
    data = content(1, 200_000)
    with server.run():
        name = curl("--data-binary", "@-", f"{server.url}/blocks", stdin=data).decode()
        assert name == name_of(data)
        url = f"{server.url}/{name}"
        out = curl("--write-out", "%{num_connects}", url, url, url)
        assert out == data + b"1" + data + b"0" + data + b"0"


@check
def curl_resumes_a_download(server):
    data = content(1, 400_000)
    with server.run(), tempfile.TemporaryDirectory() as place:
        url = f"{server.url}/blocks/{name_of(data)}"
        curl("--request", "PUT", "--data-binary", "@-", url, stdin=data)
        target = pathlib.Path(place, "target")
        target.write_bytes(data[:123_456])
        curl("--continue-at", "-", "--output", str(target), url)
        assert target.read_bytes() == data


@check
def blocks_outlive_a_shutdown(server):
    contents = [content(seed, 1 + 7000 * seed) for seed in range(20)]
    for life in range(2):
        with server.run(), session() as web:
            for data in contents:
                url = f"{server.url}/blocks/{name_of(data)}"
                if life == 0:
                    assert web.put(url, data=data).status_code == 201
                assert web.get(url).content == data
            server.stop()
    done = subprocess.run(
        [server.binary, "blocks", "check", "--contents", "--data", server.data],
        capture_output=True,
        timeout=TIME_MAX,
    )
    assert done.returncode == 0, done.stderr.decode()


if __name__ == "__main__":
    sys.exit(main(CHECKS))
