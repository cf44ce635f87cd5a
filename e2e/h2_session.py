"""HTTP/2 as the `h2` package speaks it: one connection, many streams, WebSockets in tunnels (RFC 8441)."""

import os
import socket

import h2.config
import h2.connection
import h2.events
import h2.settings

TIME_MAX = 20


class Stream:
    """What came back on one stream."""

    def __init__(self):
        self.head = None
        self.body = bytearray()
        self.has_ended = False
        self.reset = None

    @property
    def status(self):
        return self.head and int(self.head[":status"])


class Session:
    """One connection as a client."""

    def __init__(self, addr):
        host, port = addr.rsplit(":", 1)
        self.addr = addr
        self.socket = socket.create_connection((host, int(port)), TIME_MAX)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        config = h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        self.connection = h2.connection.H2Connection(config)
        self.connection.initiate_connection()
        self.streams = {}
        self.has_settings = False
        self._flush()
        self.until(lambda: self.has_settings)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    @property
    def has_tunnels(self):
        return self.connection.remote_settings.get(h2.settings.SettingCodes.ENABLE_CONNECT_PROTOCOL) == 1

    def _flush(self):
        self.socket.sendall(self.connection.data_to_send())

    def turn(self):
        """Takes in what the server says next."""
        data = self.socket.recv(1 << 16)
        assert data, "the server has closed the connection"
        for event in self.connection.receive_data(data):
            self._take(event)
        self._flush()

    def until(self, is_done):
        while not is_done():
            self.turn()

    def _take(self, event):
        match event:
            case h2.events.RemoteSettingsChanged():
                self.has_settings = True
            case h2.events.ResponseReceived(stream_id=stream, headers=headers):
                self.streams[stream].head = dict(headers)
            case h2.events.DataReceived(stream_id=stream, data=data, flow_controlled_length=length):
                self.streams[stream].body += data
                self.connection.acknowledge_received_data(length, stream)
            case h2.events.StreamEnded(stream_id=stream):
                self.streams[stream].has_ended = True
            case h2.events.StreamReset(stream_id=stream, error_code=code):
                self.streams[stream].reset = code
                self.streams[stream].has_ended = True
            case h2.events.ConnectionTerminated(error_code=code):
                raise AssertionError(f"GOAWAY: {code}")

    def open(self, headers, end_stream=False):
        stream = self.connection.get_next_available_stream_id()
        self.connection.send_headers(stream, headers, end_stream=end_stream)
        self.streams[stream] = Stream()
        self._flush()
        return stream

    def send(self, stream, data, end_stream=False):
        """Sends bytes as the windows allow; takes in what comes meanwhile."""
        view = memoryview(data)
        while view or end_stream:
            window = self.connection.local_flow_control_window(stream)
            # Settings can leave less than nothing.
            size = min(len(view), max(window, 0), self.connection.max_outbound_frame_size)
            if view and not size:
                self.turn()
                continue
            is_last = end_stream and size == len(view)
            self.connection.send_data(stream, bytes(view[:size]), end_stream=is_last)
            self._flush()
            view = view[size:]
            if is_last or not (view or end_stream):
                return

    def begin(self, method, path, end_stream=False):
        """Opens a stream with the head of a request."""
        headers = [(":method", method), (":scheme", "http"), (":path", path), (":authority", self.addr)]
        return self.open(headers, end_stream)

    def request(self, method, path, body=None):
        """Opens a stream with a whole request."""
        stream = self.begin(method, path, end_stream=body is None)
        if body is not None:
            self.send(stream, body, end_stream=True)
        return stream

    def answer(self, stream):
        self.until(lambda: self.streams[stream].has_ended)
        return self.streams[stream]

    def tunnel(self, path="/", protocol="websocket", version="13", **more):
        headers = [(":method", "CONNECT"), (":protocol", protocol), (":scheme", "http"), (":path", path)]
        headers += [(":authority", self.addr), ("sec-websocket-version", version), *more.items()]
        return Tunnel(self, self.open(headers))


TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


class Tunnel:
    """A WebSocket on a stream, its frames made by hand."""

    def __init__(self, session, stream):
        self.session = session
        self.stream = session.streams[stream]
        self.id = stream
        session.until(lambda: self.stream.head is not None or self.stream.has_ended)

    def send(self, payload, opcode=BINARY, piece=None):
        """Sends a message as one frame, in pieces of so many bytes where wanted."""
        mask = os.urandom(4)
        length = len(payload)
        if length < 126:
            head = bytes([0x80 | opcode, 0x80 | length])
        elif length < 65536:
            head = bytes([0x80 | opcode, 0x80 | 126]) + length.to_bytes(2)
        else:
            head = bytes([0x80 | opcode, 0x80 | 127]) + length.to_bytes(8)
        key = int.from_bytes((mask * (length // 4 + 1))[:length])
        masked = (int.from_bytes(payload) ^ key).to_bytes(length)
        data = head + mask + masked
        piece = piece or len(data)
        for at in range(0, len(data), piece):
            self.session.send(self.id, data[at : at + piece])

    def _read(self, size):
        self.session.until(lambda: len(self.stream.body) >= size or self.stream.has_ended)
        assert len(self.stream.body) >= size, f"the tunnel has ended: {self.stream.reset}"
        taken = bytes(self.stream.body[:size])
        del self.stream.body[:size]
        return taken

    def receive(self):
        """Opcode and payload of the next frame."""
        first, second = self._read(2)
        assert first & 0xF0 == 0x80 and not second & 0x80, f"frame begins with {first:#x} {second:#x}"
        length = second
        if length >= 126:
            length = int.from_bytes(self._read(2 if length == 126 else 8))
        return first & 0x0F, self._read(length)

    def echoes(self, payload, opcode=BINARY, piece=None):
        self.send(payload, opcode, piece)
        got = self.receive()
        assert got == (opcode, payload), f"sent {len(payload)}, got {got[0]} with {len(got[1])}"

    def close(self, code=1000):
        self.send(code.to_bytes(2), CLOSE)
        opcode, payload = self.receive()
        assert (opcode, payload[:2]) == (CLOSE, code.to_bytes(2)), (opcode, payload)
        self.session.send(self.id, b"", end_stream=True)
        self.session.until(lambda: self.stream.has_ended)
        assert self.stream.reset is None, f"reset: {self.stream.reset}"
