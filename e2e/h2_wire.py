"""HTTP/2 by hand: frames as bytes, for saying what no library lets one say; header lists by `hpack`."""

import collections
import contextlib
import socket
import ssl

import hpack

TIME_MAX = 20

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)

ACK = END_STREAM = 0x1
END_HEADERS = 0x4
PADDED = 0x8

# Settings (RFC 9113 6.5.2, RFC 8441 3).
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE = range(1, 6)
ENABLE_CONNECT_PROTOCOL = 8

# Error codes (RFC 9113 7).
(
    NO_ERROR,
    PROTOCOL_ERROR,
    INTERNAL_ERROR,
    FLOW_CONTROL_ERROR,
    SETTINGS_TIMEOUT,
    STREAM_CLOSED,
    FRAME_SIZE_ERROR,
    REFUSED_STREAM,
    CANCEL,
    COMPRESSION_ERROR,
    CONNECT_ERROR,
    ENHANCE_YOUR_CALM,
) = range(12)

Frame = collections.namedtuple("Frame", "kind flags stream payload")


def frame(kind, flags=0, stream=0, payload=b"", length=None):
    """A frame as bytes; its length may be a lie."""
    length = len(payload) if length is None else length
    return length.to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + payload


def number(value):
    return value.to_bytes(4)


def settings(*pairs):
    payload = b"".join(name.to_bytes(2) + number(value) for name, value in pairs)
    return frame(SETTINGS, 0, 0, payload)


def block(*fields):
    """A header block that leaves the table as it is."""
    out = b""
    for name, value in fields:
        assert len(name) < 127 and len(value) < 127
        out += b"\0" + bytes([len(name)]) + name.encode() + bytes([len(value)]) + value.encode()
    return out


def request(method="GET", path="/", *more):
    return block((":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more)


class Ended(Exception):
    """The server has closed the connection."""


class Wire:
    """One connection: bytes out, frames in."""

    def __init__(self, addr, *pairs, greets=True, tls=None):
        host, port = addr.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), TIME_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.buffer = b""
        self.decoder = hpack.Decoder()
        if greets:
            self.send(PREFACE, settings(*pairs))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, *pieces):
        self.socket.sendall(b"".join(pieces))

    def _read(self, size):
        while len(self.buffer) < size:
            try:
                more = self.socket.recv(1 << 16)
            except (ConnectionResetError, ssl.SSLEOFError):
                more = b""
            if not more:
                raise Ended
            self.buffer += more
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def next(self):
        """The next frame, whatever it is."""
        head = self._read(9)
        payload = self._read(int.from_bytes(head[:3]))
        stream = int.from_bytes(head[5:]) & 0x7FFFFFFF
        got = Frame(head[3], head[4], stream, payload)
        if got.kind == SETTINGS and not got.flags & ACK:
            # A server that has closed by now has said all it says.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                self.send(frame(SETTINGS, ACK))
        return got

    def until(self, wanted):
        """The next frame of which `wanted` is true."""
        while True:
            got = self.next()
            if wanted(got):
                return got

    def fields(self, got):
        """Header list of a HEADERS frame that is whole."""
        assert got.kind == HEADERS and got.flags & END_HEADERS, got
        pairs = self.decoder.decode(got.payload)
        return {name: value for name, value in pairs}

    def answer(self, stream):
        """Head and body of an answer; window is given back as it is used."""
        head = self.fields(self.until(lambda got: got.kind == HEADERS and got.stream == stream))
        body = b""
        while True:
            got = self.until(lambda got: got.kind in (DATA, HEADERS) and got.stream == stream)
            assert got.kind == DATA, got
            body += got.payload
            if got.payload:
                size = number(len(got.payload))
                self.send(frame(WINDOW_UPDATE, 0, 0, size), frame(WINDOW_UPDATE, 0, stream, size))
            if got.flags & END_STREAM:
                return head, body

    def ping(self):
        """Everything before has been taken in when this returns."""
        self.send(frame(PING, 0, 0, b"any word"))
        got = self.until(lambda got: got.kind == PING)
        assert got.flags & ACK and got.payload == b"any word", got

    def verdict(self):
        """What the server says of an offence: ("goaway" | "reset", code), or "closed" without a word."""
        try:
            got = self.until(lambda got: got.kind in (GOAWAY, RST_STREAM))
        except Ended:
            return "closed", None
        if got.kind == RST_STREAM:
            return "reset", int.from_bytes(got.payload)
        return "goaway", int.from_bytes(got.payload[4:8])
