"""Hostile clients over HTTP/2: every offence gets its answer, every flood its end, healthy connections notice nothing.

usage: h2_hostile.py --hioload PATH [--driver uring|poll] [--only NAME]
"""

import contextlib
import sys
import threading

from h2_wire import (
    ACK,
    CANCEL,
    COMPRESSION_ERROR,
    CONTINUATION,
    DATA,
    ENABLE_PUSH,
    END_HEADERS,
    END_STREAM,
    ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GOAWAY,
    HEADERS,
    INITIAL_WINDOW_SIZE,
    MAX_FRAME_SIZE,
    PADDED,
    PING,
    PREFACE,
    PRIORITY,
    PROTOCOL_ERROR,
    PUSH_PROMISE,
    REFUSED_STREAM,
    RST_STREAM,
    SETTINGS,
    STREAM_CLOSED,
    TIME_MAX,
    WINDOW_UPDATE,
    Ended,
    Wire,
    block,
    frame,
    number,
    request,
    settings,
)
from harness import main

CHECKS = []


def check(function):
    """Registers a check under its name."""
    CHECKS.append(function)
    return function


def get(stream, *more):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, request("GET", "/stats", *more))


def post(stream, *more):
    return frame(HEADERS, END_HEADERS, stream, request("POST", "/blocks", *more))


def head(stream, *fields, flags=END_HEADERS | END_STREAM):
    return frame(HEADERS, flags, stream, block(*fields))


REQUEST = [(":method", "GET"), (":scheme", "http"), (":path", "/stats"), (":authority", "localhost")]

# What is said, with the codes that RFC 9113 lets a server answer with.
FATAL = {
    "DATA on no stream (6.1)": (frame(DATA, 0, 0, b"x"), [PROTOCOL_ERROR]),
    "DATA of an idle stream (5.1)": (frame(DATA, 0, 1, b"x"), [PROTOCOL_ERROR]),
    "all of DATA is padding and more (6.1)": (post(1) + frame(DATA, PADDED, 1, b"\x05abc"), [PROTOCOL_ERROR]),
    "HEADERS on no stream (6.2)": (frame(HEADERS, END_HEADERS, 0, request()), [PROTOCOL_ERROR]),
    "a stream of the server (5.1.1)": (get(2), [PROTOCOL_ERROR]),
    "a stream that was passed over (5.1.1)": (get(5) + get(3), [PROTOCOL_ERROR, STREAM_CLOSED]),
    "a header block interrupted (6.2)": (
        frame(HEADERS, END_STREAM, 1, request()) + frame(PING, 0, 0, b"12345678"),
        [PROTOCOL_ERROR],
    ),
    "CONTINUATION of another stream (6.10)": (
        frame(HEADERS, END_STREAM, 1, request()) + frame(CONTINUATION, END_HEADERS, 3),
        [PROTOCOL_ERROR],
    ),
    "CONTINUATION of nothing (6.10)": (frame(CONTINUATION, END_HEADERS, 1, request()), [PROTOCOL_ERROR]),
    "an index outside the tables (RFC 7541 2.3.3)": (frame(HEADERS, 5, 1, b"\xff\xff\xff"), [COMPRESSION_ERROR]),
    "Huffman with too much padding (RFC 7541 5.2)": (
        frame(HEADERS, 5, 1, request() + b"\x00\x01a\x82\xff\xff"),
        [COMPRESSION_ERROR],
    ),
    "a table larger than was allowed (RFC 7541 6.3)": (
        frame(HEADERS, 5, 1, b"\x3f\xe1\xff\x7f" + request()),
        [COMPRESSION_ERROR],
    ),
    "PUSH_PROMISE (8.4)": (frame(PUSH_PROMISE, END_HEADERS, 1, number(2) + request()), [PROTOCOL_ERROR]),
    "RST_STREAM of an idle stream (6.4)": (frame(RST_STREAM, 0, 1, number(CANCEL)), [PROTOCOL_ERROR]),
    "RST_STREAM on no stream (6.4)": (frame(RST_STREAM, 0, 0, number(CANCEL)), [PROTOCOL_ERROR]),
    "RST_STREAM of three bytes (6.4)": (post(1) + frame(RST_STREAM, 0, 1, b"abc"), [FRAME_SIZE_ERROR]),
    "SETTINGS on a stream (6.5)": (frame(SETTINGS, 0, 1), [PROTOCOL_ERROR]),
    "SETTINGS of five bytes (6.5)": (frame(SETTINGS, 0, 0, b"12345"), [FRAME_SIZE_ERROR]),
    "an acknowledgement with content (6.5)": (frame(SETTINGS, ACK, 0, b"123456"), [FRAME_SIZE_ERROR]),
    "ENABLE_PUSH 2 (6.5.2)": (settings((ENABLE_PUSH, 2)), [PROTOCOL_ERROR]),
    "INITIAL_WINDOW_SIZE 2^31 (6.5.2)": (settings((INITIAL_WINDOW_SIZE, 2**31)), [FLOW_CONTROL_ERROR]),
    "MAX_FRAME_SIZE 16383 (6.5.2)": (settings((MAX_FRAME_SIZE, 16383)), [PROTOCOL_ERROR]),
    "MAX_FRAME_SIZE 2^24 (6.5.2)": (settings((MAX_FRAME_SIZE, 2**24)), [PROTOCOL_ERROR]),
    "a window that grows past 2^31 by settings (6.9.2)": (
        post(1) + frame(WINDOW_UPDATE, 0, 1, number(2**31 - 1 - 65535)) + settings((INITIAL_WINDOW_SIZE, 65536)),
        [FLOW_CONTROL_ERROR],
    ),
    "PING on a stream (6.7)": (frame(PING, 0, 1, b"12345678"), [PROTOCOL_ERROR]),
    "PING of seven bytes (6.7)": (frame(PING, 0, 0, b"1234567"), [FRAME_SIZE_ERROR]),
    "GOAWAY on a stream (6.8)": (frame(GOAWAY, 0, 1, number(0) * 2), [PROTOCOL_ERROR]),
    "WINDOW_UPDATE of nothing (6.9)": (frame(WINDOW_UPDATE, 0, 0, number(0)), [PROTOCOL_ERROR]),
    "WINDOW_UPDATE of three bytes (6.9)": (frame(WINDOW_UPDATE, 0, 0, b"abc"), [FRAME_SIZE_ERROR]),
    "WINDOW_UPDATE of an idle stream (5.1)": (frame(WINDOW_UPDATE, 0, 1, number(1)), [PROTOCOL_ERROR]),
    "a window past 2^31 (6.9.1)": (frame(WINDOW_UPDATE, 0, 0, number(2**31 - 1)) * 2, [FLOW_CONTROL_ERROR]),
    "a frame larger than is taken (4.2)": (frame(DATA, 0, 1, b"", length=16_385), [FRAME_SIZE_ERROR]),
}

# The same for what ends a stream alone.
STREAM = {
    "a name in capitals (8.2.1)": (head(1, *REQUEST, ("Accept", "*/*")), [PROTOCOL_ERROR]),
    "a name with a blank (8.2.1)": (head(1, *REQUEST, ("a b", "c")), [PROTOCOL_ERROR]),
    "a value with a line feed (8.2.1)": (head(1, *REQUEST, ("a", "b\nc: d")), [PROTOCOL_ERROR]),
    "a value that begins with a blank (8.2.1)": (head(1, *REQUEST, ("a", " b")), [PROTOCOL_ERROR]),
    "a field of the connection (8.2.2)": (head(1, *REQUEST, ("connection", "close")), [PROTOCOL_ERROR]),
    "a coding (8.2.2)": (head(1, *REQUEST, ("transfer-encoding", "chunked")), [PROTOCOL_ERROR]),
    "te: gzip (8.2.2)": (head(1, *REQUEST, ("te", "gzip")), [PROTOCOL_ERROR]),
    "no method (8.3.1)": (head(1, *REQUEST[1:]), [PROTOCOL_ERROR]),
    "no scheme (8.3.1)": (head(1, REQUEST[0], *REQUEST[2:]), [PROTOCOL_ERROR]),
    "no path (8.3.1)": (head(1, *REQUEST[:2], REQUEST[3]), [PROTOCOL_ERROR]),
    "an empty path (8.3.1)": (head(1, *REQUEST[:2], (":path", ""), REQUEST[3]), [PROTOCOL_ERROR]),
    "two methods (8.3.1)": (head(1, REQUEST[0], *REQUEST), [PROTOCOL_ERROR]),
    "a pseudo field of an answer (8.3)": (head(1, *REQUEST, (":status", "200")), [PROTOCOL_ERROR]),
    "a pseudo field that nobody knows (8.3)": (head(1, *REQUEST, (":colour", "blue")), [PROTOCOL_ERROR]),
    "a pseudo field after others (8.3)": (head(1, *REQUEST[:3], ("a", "b"), REQUEST[3]), [PROTOCOL_ERROR]),
    ":protocol without CONNECT (RFC 8441 4)": (head(1, *REQUEST, (":protocol", "websocket")), [PROTOCOL_ERROR]),
    "CONNECT with a path and no protocol (8.5)": (
        head(1, (":method", "CONNECT"), *REQUEST[1:]),
        [PROTOCOL_ERROR],
    ),
    "less than content-length (8.1.1)": (
        post(1, ("content-length", "5")) + frame(DATA, END_STREAM, 1, b"four"),
        [PROTOCOL_ERROR],
    ),
    "more than content-length (8.1.1)": (
        post(1, ("content-length", "3")) + frame(DATA, END_STREAM, 1, b"four"),
        [PROTOCOL_ERROR],
    ),
    "two lengths (8.1.1)": (
        post(1, ("content-length", "4"), ("content-length", "5")) + frame(DATA, END_STREAM, 1, b"four"),
        [PROTOCOL_ERROR],
    ),
    "trailers with a pseudo field (8.1)": (post(1) + head(1, (":path", "/")), [PROTOCOL_ERROR]),
    "trailers that do not end (8.1)": (post(1) + head(1, ("a", "b"), flags=END_HEADERS), [PROTOCOL_ERROR]),
    "PRIORITY of four bytes (6.3)": (post(1) + frame(PRIORITY, 0, 1, b"four"), [FRAME_SIZE_ERROR]),
    "WINDOW_UPDATE of nothing (6.9)": (post(1) + frame(WINDOW_UPDATE, 0, 1, number(0)), [PROTOCOL_ERROR]),
    "a window past 2^31 (6.9.1)": (
        post(1) + frame(WINDOW_UPDATE, 0, 1, number(2**31 - 1)),
        [FLOW_CONTROL_ERROR],
    ),
}


def collect(cases, judge):
    """All cases, and then every complaint at once."""
    complaints = []
    for name, (said, codes) in cases.items():
        try:
            complaint = judge(said, codes)
        except (Ended, TimeoutError) as error:
            complaint = f"{type(error).__name__}"
        if complaint:
            complaints.append(f"{name}: {complaint}")
    assert not complaints, "\n" + "\n".join(complaints)


@check
def offences_of_a_connection_end_it(server):
    with server.run():

        def judge(said, codes):
            with Wire(server.addr) as wire:
                # The end may come before everything was said.
                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                    wire.send(said)
                got = wire.verdict()
                while got[0] == "reset":
                    got = wire.verdict()
                if got[0] != "goaway" or got[1] not in codes:
                    return got
                with contextlib.suppress(Ended):
                    while True:
                        wire.next()

        collect(FATAL, judge)


@check
def offences_of_a_stream_end_it_alone(server):
    with server.run():

        def judge(said, codes):
            with Wire(server.addr) as wire:
                wire.send(said)
                got = wire.until(lambda got: got.kind in (RST_STREAM, GOAWAY, HEADERS))
                if got.kind == HEADERS:
                    # RFC 9113 8.1.1: a malformed request may be answered; it must not be served.
                    status = wire.fields(got)[":status"]
                    if status[0] != "4":
                        return f"answered with {status}"
                elif got.kind == GOAWAY:
                    # A stream's error may be treated as the connection's (5.4.1).
                    return "GOAWAY"
                elif int.from_bytes(got.payload) not in codes:
                    return f"reset with {int.from_bytes(got.payload)}"
                wire.send(get(3))
                answered, _ = wire.answer(3)
                if answered[":status"] != "200":
                    return f"the next stream is answered with {answered}"

        collect(STREAM, judge)


@check
def what_nobody_knows_is_passed_over(server):
    with server.run(), Wire(server.addr, (0x1234, 5)) as wire:
        wire.send(frame(0xFA, 0xFF, 0, b"anything"), frame(0xFA, 0xFF, 7, b""), frame(PRIORITY, 0, 9, b"\0\0\0\0\7"))
        wire.send(get(11, ("te", "trailers")))
        assert wire.answer(11)[0][":status"] == "200", "the one coding that may be asked for (8.2.2)"


@check
def a_request_that_ends_with_its_head_has_an_empty_body(server):
    with server.run(), Wire(server.addr) as wire:
        ended = END_HEADERS | END_STREAM
        asked = request(method="POST", path="/blocks:missing")
        wire.send(frame(HEADERS, ended, 1, asked))
        assert wire.answer(1)[0][":status"] == "200", "its end says its length (8.1.1)"
        wire.send(frame(HEADERS, ended, 3, request(method="PUT", path="/")))
        assert wire.answer(3)[0][":status"] == "400", "no block is empty"


@check
def what_is_no_preface_is_no_http_2(server):
    with server.run():
        for wrong in (PREFACE[:-1] + b"x", b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", b"PRI * HTTP/3.0\r\n\r\n"):
            with Wire(server.addr, greets=False) as wire:
                wire.send(wrong, settings(), get(1))
                try:
                    while True:
                        wire._read(1)
                except Ended:
                    pass
        with Wire(server.addr, greets=False) as wire:
            wire.send(PREFACE, frame(PING, 0, 0, b"12345678"))
            assert wire.verdict() == ("goaway", PROTOCOL_ERROR), "the first frame has to be SETTINGS (3.4)"


def continuations():
    yield frame(HEADERS, END_STREAM, 1, request())
    while True:
        yield frame(CONTINUATION, 0, 1, b"")


def continuations_that_grow():
    yield frame(HEADERS, END_STREAM, 1, request())
    while True:
        yield frame(CONTINUATION, 0, 1, block(("x" * 100, "y" * 100)) * 50)


def rapid_resets():
    stream = 1
    while True:
        yield get(stream) + frame(RST_STREAM, 0, stream, number(CANCEL))
        stream += 2


def resets_that_we_are_made_to_send():
    """CVE-2025-8671: the client offends on a stream that is being answered."""
    stream = 1
    while True:
        yield get(stream) + frame(WINDOW_UPDATE, 0, stream, number(0))
        stream += 2


def an_hpack_bomb():
    """One large entry in the table, referred to again and again."""
    entry = b"\x40\x01a\x7f\xa1\x1e" + b"b" * 4001
    yield frame(HEADERS, 5, 1, request() + entry + b"\xbe" * 10_000)
    stream = 3
    while True:
        yield frame(HEADERS, 5, stream, request() + b"\xbe" * 10_000)
        stream += 2


def repeat(*frames):
    def flood():
        while True:
            yield b"".join(frames)

    return flood


def beside_a_stream(*frames):
    def flood():
        yield post(1)
        while True:
            yield b"".join(frames)

    return flood


FLOODS = {
    "CONTINUATION (CVE-2024-27316)": continuations,
    "CONTINUATION with content": continuations_that_grow,
    "HEADERS and RST_STREAM (CVE-2023-44487)": rapid_resets,
    "resets of ours (CVE-2025-8671)": resets_that_we_are_made_to_send,
    "an HPACK bomb": an_hpack_bomb,
    "PING (CVE-2019-9512)": repeat(frame(PING, 0, 0, b"12345678") * 100),
    "SETTINGS (CVE-2019-9515)": repeat(settings() * 100),
    "empty DATA (CVE-2019-9518)": beside_a_stream(frame(DATA, 0, 1) * 100),
    "DATA that is padding": beside_a_stream(frame(DATA, PADDED, 1, b"\x05\0\0\0\0\0") * 100),
    "tiny DATA": beside_a_stream(frame(DATA, 0, 1, b"x") * 100),
    "PRIORITY (CVE-2019-9513)": repeat(frame(PRIORITY, 0, 1, b"\0\0\0\0\7") * 100),
    "WINDOW_UPDATE": repeat(frame(WINDOW_UPDATE, 0, 0, number(1)) * 100),
    "frames that nobody knows": repeat(frame(0xFA, 0, 0, b"x") * 100),
}

# Bytes after which a flood has to be over.
FLOOD_MAX = 64 << 20


def drown(wire, flood):
    """Sends until the server has had enough; gives its verdict and how much it took."""
    sent = 0
    wire.socket.settimeout(TIME_MAX)
    verdict = []
    reader = threading.Thread(target=lambda: verdict.append(read(wire)))
    reader.start()
    batch = bytearray()
    for piece in flood:
        batch += piece
        if len(batch) < 1 << 16:
            continue
        try:
            wire.socket.sendall(batch)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            break
        sent += len(batch)
        batch.clear()
        if sent > FLOOD_MAX or not reader.is_alive():
            break
    if sent > FLOOD_MAX:
        wire.socket.shutdown(2)
    reader.join()
    return verdict[0], sent


def read(wire):
    """The GOAWAY, if one comes; a server may close while a client still sends, and then it is lost."""
    try:
        return "goaway", int.from_bytes(wire.until(lambda got: got.kind == GOAWAY).payload[4:8])
    except (Ended, TimeoutError) as error:
        return type(error).__name__, None


@check
def floods_end_and_harm_nobody(server):
    complaints = []
    with server.run(), Wire(server.addr) as healthy:
        stream = 1
        for name, flood in FLOODS.items():
            with Wire(server.addr) as wire:
                (verdict, code), sent = drown(wire, flood())
            if sent > FLOOD_MAX:
                complaints.append(f"{name}: goes on after {sent >> 20} MiB")
            elif code not in (None, ENHANCE_YOUR_CALM, PROTOCOL_ERROR, COMPRESSION_ERROR):
                complaints.append(f"{name}: {verdict} {code}")
            elif verdict == "TimeoutError":
                complaints.append(f"{name}: the server neither takes nor ends it")
            healthy.send(get(stream))
            assert healthy.answer(stream)[0][":status"] == "200", name
            stream += 2
    assert not complaints, "\n" + "\n".join(complaints)


@check
def streams_above_the_limit_are_refused(server):
    with server.run(), Wire(server.addr) as wire:
        for stream in range(1, 1201, 2):
            wire.send(post(stream))
        got = wire.until(lambda got: got.kind in (RST_STREAM, GOAWAY))
        assert got.kind == RST_STREAM and int.from_bytes(got.payload) == REFUSED_STREAM, got


@check
def a_window_that_never_opens_costs_the_others_nothing(server):
    with server.run(), Wire(server.addr, (INITIAL_WINDOW_SIZE, 0)) as stuck, Wire(server.addr) as healthy:
        for stream in range(1, 101, 2):
            stuck.send(get(stream))
        stuck.ping()
        for stream in range(1, 101, 2):
            healthy.send(get(stream))
            assert healthy.answer(stream)[0][":status"] == "200"
        # One byte at a time is an answer, too.
        stuck.send(frame(WINDOW_UPDATE, 0, 1, number(1)))
        got = stuck.until(lambda got: got.kind == DATA)
        assert (got.stream, len(got.payload)) == (1, 1), got


if __name__ == "__main__":
    sys.exit(main(CHECKS))
