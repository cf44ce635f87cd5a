"""Foreign clients over TLS: curl, OpenSSL's s_client and Python's `websockets` speak to `hioload`.

usage: tls_client.py --hioload PATH [--driver uring|poll] [--only NAME]
"""

import asyncio
import pathlib
import signal
import ssl
import subprocess
import sys
import time

from websockets.asyncio.client import connect

from harness import TIME_MAX, content, curl, main, name_of

CHECKS = []


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


def make_pair(directory, name, key="ec"):
    """A certificate for a name and for 127.0.0.1, with its key, made by OpenSSL."""
    chain, secret = pathlib.Path(directory, f"{name}.pem"), pathlib.Path(directory, f"{name}.key")
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"] if key == "ec" else ["rsa:2048"]
    names = f"subjectAltName=DNS:{name},IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", *kind, "-nodes", "-days", "2"]
    command += ["-subj", f"/CN={name}", "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE"]
    command += ["-keyout", secret, "-out", chain]
    subprocess.run(command, check=True, capture_output=True)
    return chain, secret


def flags(*pairs):
    """What makes a server show these."""
    return [flag for chain, key in pairs for flag in ("--tls-cert", chain, "--tls-key", key)]


def s_client(server, *arguments, stdin=b""):
    """Runs `openssl s_client` to its end, and gives what it says."""
    command = ["openssl", "s_client", "-connect", server.addr, *arguments]
    done = subprocess.run(command, input=stdin, capture_output=True, timeout=TIME_MAX)
    return done.stdout.decode(errors="replace") + done.stderr.decode(errors="replace")


def requests(path="/blocks/nowhere"):
    """A request after which the server ends the connection."""
    return f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode()


@check
def curl_stores_and_reads_blocks(server):
    pair = make_pair(server.data, "localhost")
    with server.run(*flags(pair), scheme="https"):
        for seed, size in enumerate([1, 4096, 16384, 65537, 512 * 1024]):
            data = content(seed, size)
            url = f"{server.url}/blocks/{name_of(data)}"
            for version in ("1.2", "1.3"):
                limits = [f"--tlsv{version}", "--tls-max", version, "--cacert", pair[0]]
                curl(*limits, "-T", "-", "-H", "Expect:", url, stdin=data)
                assert curl(*limits, url) == data, (version, size)


@check
def curl_is_asked_which_http_it_wants(server):
    pair = make_pair(server.data, "localhost")
    data = content(1, 300_000)
    with server.run(*flags(pair), scheme="https"):
        url = f"{server.url}/blocks/{name_of(data)}"
        for wish, agreed in [("--http1.1", b"1.1"), ("--http2", b"2")]:
            told = ["--cacert", pair[0], wish, "-o", "/dev/null", "-w", "%{http_version}"]
            assert curl(*told, "-T", "-", "-H", "Expect:", url, stdin=data) == agreed
            assert curl("--cacert", pair[0], wish, url) == data


@check
def s_client_resumes_in_both_versions(server):
    pair = make_pair(server.data, "localhost")
    ticket = pathlib.Path(server.data, "ticket")
    with server.run(*flags(pair), scheme="https"):
        for version in ("-tls1_2", "-tls1_3"):
            # The answer is waited for: tickets of TLS 1.3 come behind the handshake.
            first = s_client(server, version, "-ign_eof", "-sess_out", ticket, stdin=requests())
            assert "New, TLSv1." in first and "HTTP/1.1 4" in first, first
            second = s_client(server, version, "-ign_eof", "-sess_in", ticket, stdin=requests())
            assert "Reused, TLSv1." in second and "HTTP/1.1 4" in second, second


@check
def the_end_is_told_in_tls(server):
    pair = make_pair(server.data, "localhost")
    with server.run(*flags(pair), scheme="https"):
        said = s_client(server, "-ign_eof", "-msg", stdin=requests())
        assert "close_notify" in said.split("HTTP/1.1 4")[1], said


@check
def names_pick_certificates_of_both_kinds(server):
    pairs = [make_pair(server.data, "one.example"), make_pair(server.data, "two.example", "rsa")]
    with server.run(*flags(*pairs), scheme="https"):
        for name, shown in [("one.example", "one"), ("two.example", "two"), ("else.example", "one")]:
            said = s_client(server, "-servername", name)
            assert f"CN = {shown}.example" in said or f"CN={shown}.example" in said, said


@check
def certificates_are_read_anew_on_sighup(server):
    pair = make_pair(server.data, "localhost")
    with server.run(*flags(pair), scheme="https"):
        url = f"{server.url}/blocks/nowhere"
        curl("--cacert", pair[0], url)
        old = pair[0].read_bytes()
        make_pair(server.data, "localhost")
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + TIME_MAX
        while True:
            fresh = ssl.get_server_certificate(tuple(server.addr.rsplit(":", 1)))
            if fresh.split() != old.decode().split():
                break
            assert time.monotonic() < end, "the old certificate is shown for ever"
        curl("--cacert", pair[0], url)


@check
def strangers_are_refused_where_clients_show_certificates(server):
    pair, client = make_pair(server.data, "localhost"), make_pair(server.data, "client")
    with server.run(*flags(pair), "--tls-client-ca", client[0], scheme="https"):
        url = f"{server.url}/blocks/nowhere"
        curl("--cacert", pair[0], "--cert", client[0], "--key", client[1], url)
        said = s_client(server, "-ign_eof", stdin=requests())
        assert "alert certificate required" in said or "alert" in said, said


@check
def websockets_over_wss_and_in_clear(server):
    pair = make_pair(server.data, "localhost")
    trust = ssl.create_default_context(cafile=pair[0])

    async def talk():
        async with connect(f"wss://{server.addr}/", ssl=trust, max_size=None) as session:
            for size in [0, 1, 1024, 16384, 100_000, 1 << 20]:
                data = content(size, size)
                await session.send(data)
                assert await asyncio.wait_for(session.recv(), TIME_MAX) == data
            many = [str(number) for number in range(1000)]
            for text in many:
                await session.send(text)
            assert [await asyncio.wait_for(session.recv(), TIME_MAX) for _ in many] == many

    with server.run(*flags(pair), command="echo", scheme="wss"):
        asyncio.run(talk())
        server.stop()


if __name__ == "__main__":
    sys.exit(main(CHECKS))
