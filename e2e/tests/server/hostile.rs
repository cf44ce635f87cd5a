//! Bad input: each kind gets the answer its RFC asks for, is counted, and costs nobody else
//! anything: a bystander's session, opened before, goes on after each.

use std::time::{Duration, Instant};

use hioload::{DriverChoice, Echo, Settings, Stats};
use hioload_e2e::{
    Frame, Heard, KEY, Opcode, Running, Wire, close_body, frame_bytes, request, until,
};

use crate::deflate::deflate;

/// A server, and a session on it that has nothing to do with what happens.
struct Scene {
    server: Running,
    bystander: Wire,
}

impl Scene {
    fn new(driver: DriverChoice) -> Self {
        Self::with(driver, |_| {})
    }

    fn with(driver: DriverChoice, tweak: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Running::settings();
        settings.handshake_timeout = Duration::from_secs(5);
        tweak(&mut settings);
        let builder = Running::builder(driver, 1).settings(settings);
        let server = Running::start(builder.handler(|_| Echo));
        let bystander = Wire::open(server.addr(), "/");
        Self { server, bystander }
    }

    /// The bystander is served, and the counters become as wanted.
    #[track_caller]
    fn goes_on(&mut self, counted: impl Fn(&Stats) -> bool) {
        self.bystander.frame(Opcode::Text, b"still here");
        assert_eq!(self.bystander.next().payload, b"still here");
        self.server.until_stats("the counters", |stats| {
            stats.sessions == 1 && stats.connections == 1 && counted(stats)
        });
    }

    /// What is answered to a whole request: the status, and the one line of its body.
    #[track_caller]
    fn refused(&mut self, head: &[u8]) -> (u16, String) {
        let mut wire = Wire::dial(self.server.addr());
        wire.try_send(head);
        refusal(&mut wire)
    }

    /// The close code for bytes of an open session.
    #[track_caller]
    fn failed(&mut self, bytes: &[u8]) -> Option<u16> {
        let mut wire = Wire::open(self.server.addr(), "/");
        wire.try_send(bytes);
        wire.closed()
    }
}

/// A refusal, checked as a whole: status line, `Connection: close`, one line of text, the end.
#[track_caller]
fn refusal(wire: &mut Wire) -> (u16, String) {
    let head = wire.head();
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3)?.parse().ok());
    assert!(
        head.contains("close\r\n") && head.contains("Connection: "),
        "{head}"
    );
    let (body, _) = wire.rest();
    let body = String::from_utf8(body).expect("text");
    assert_eq!(body.lines().count(), 1, "one line that says why: {body:?}");
    assert!(
        head.contains(&format!("Content-Length: {}\r\n", body.len())),
        "{head}"
    );
    (
        status.unwrap_or_else(|| panic!("no status: {head}")),
        body.trim_end().to_owned(),
    )
}

/// A good head with one line left out or put in another way.
fn head_with(line: &str, instead: &str) -> Vec<u8> {
    let head = request("/", "");
    assert!(head.contains(line), "{line} is not in {head}");
    head.replace(line, instead).into_bytes()
}

pub(crate) fn a_head_that_trickles_in_is_cut_off(driver: DriverChoice) {
    let mut scene = Scene::with(driver, |settings| {
        settings.handshake_timeout = Duration::from_millis(150);
    });
    let head = request("/", "");
    let start = Instant::now();
    let mut wires: Vec<Wire> = (0..20).map(|_| Wire::dial(scene.server.addr())).collect();
    // A byte at a time does not buy time: the whole head has to be there.
    let mut rest = head.as_bytes()[..head.len() - 1].iter();
    until("the cut", || {
        if let Some(byte) = rest.next() {
            for wire in &mut wires {
                wire.try_send(&[*byte]);
            }
        }
        scene.server.stats().handshakes_late == 20
    });
    assert!(start.elapsed() >= Duration::from_millis(150));
    for wire in &mut wires {
        // Bytes that came after the answer may turn the end into a reset, but never before 408.
        assert!(wire.head().starts_with("HTTP/1.1 408 "));
    }
    drop(wires);
    scene.goes_on(|stats| (stats.handshakes_late, stats.handshakes) == (20, 1));
}

pub(crate) fn one_that_says_nothing_is_cut_off(driver: DriverChoice) {
    let mut scene = Scene::with(driver, |settings| {
        settings.handshake_timeout = Duration::from_millis(100);
    });
    let mut wire = Wire::dial(scene.server.addr());
    assert_eq!(refusal(&mut wire).0, 408);
    drop(wire);
    scene.goes_on(|stats| stats.handshakes_late == 1);
}

pub(crate) fn an_oversized_head_is_431(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let long = request("/", &format!("X-Long: {}\r\n", "x".repeat(9000)));
    assert_eq!(scene.refused(long.as_bytes()).0, 431);
    // Without an end it is refused as soon as the limit is reached.
    let endless = "x".repeat(8192);
    assert_eq!(scene.refused(format!("GET /{endless}").as_bytes()).0, 431);
    let many = request("/", &"X: y\r\n".repeat(100));
    assert_eq!(scene.refused(many.as_bytes()).0, 431);
    scene.goes_on(|stats| stats.handshakes_refused == 3);
}

pub(crate) fn a_wrong_method_or_version_is_refused(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let cases: &[(&[u8], u16)] = &[
        (&head_with("GET", "POST"), 405),
        (&head_with("GET", "HEAD"), 405),
        (&head_with("HTTP/1.1", "HTTP/1.0"), 505),
        (b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505),
        (&head_with("Version: 13", "Version: 8"), 426),
        (&head_with("Upgrade: websocket", "Upgrade: h2c"), 426),
        (b"GET / HTTP/1.1\r\nHost: test\r\n\r\n", 426),
        (&head_with("Connection: Upgrade", "Connection: close"), 400),
        (&head_with("Host: test\r\n", ""), 400),
        (&head_with("GET / ", "GET ftp://test/ "), 400),
        (&head_with("GET / ", "GET /#part "), 400),
    ];
    for (head, status) in cases {
        let answer = scene.refused(head);
        assert_eq!(
            answer.0,
            *status,
            "{}: {answer:?}",
            String::from_utf8_lossy(head)
        );
        assert!(!answer.1.is_empty());
    }
    let mut wire = Wire::dial(scene.server.addr());
    wire.send(&head_with("Version: 13", "Version: 8"));
    let head = wire.head();
    // RFC 6455 4.4, RFC 9110 15.5.22.
    assert!(head.contains("Sec-WebSocket-Version: 13\r\n"), "{head}");
    assert!(head.contains("Upgrade: websocket\r\n"), "{head}");
    drop(wire);
    scene.goes_on(|stats| stats.handshakes_refused == cases.len() as u64 + 1);
}

pub(crate) fn missing_and_repeated_websocket_headers_are_400(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let version = "Sec-WebSocket-Version: 13\r\n";
    let cases = [
        (head_with(&key, ""), "Sec-WebSocket-Key"),
        (head_with(&key, &key.repeat(2)), "Sec-WebSocket-Key"),
        (head_with(KEY, "c2hvcnQ="), "Sec-WebSocket-Key"),
        (
            head_with(KEY, "!!!!!!!!!!!!!!!!!!!!!!!!"),
            "Sec-WebSocket-Key",
        ),
        (head_with(version, ""), "Sec-WebSocket-Version"),
        (
            head_with(version, &version.repeat(2)),
            "Sec-WebSocket-Version",
        ),
        (
            request("/", "Sec-WebSocket-Protocol: a, a\r\n").into_bytes(),
            "Sec-WebSocket-Protocol",
        ),
        (
            request("/", "Sec-WebSocket-Protocol: a b\r\n").into_bytes(),
            "Sec-WebSocket-Protocol",
        ),
        (
            request("/", "Sec-WebSocket-Extensions: ;;\r\n").into_bytes(),
            "Sec-WebSocket-Extensions",
        ),
        (request("/", "Host: twice\r\n").into_bytes(), "Host"),
        (request("/", "Content-Length: 5\r\n").into_bytes(), "body"),
    ];
    for (head, named) in &cases {
        let (status, why) = scene.refused(head);
        assert_eq!(status, 400, "{}: {why}", String::from_utf8_lossy(head));
        assert!(why.contains(named), "{named} is not named: {why}");
    }
    scene.goes_on(|stats| stats.handshakes_refused == cases.len() as u64);
}

pub(crate) fn garbage_instead_of_a_head_is_400(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let hello = [&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xFC, 3, 3][..], &[0; 500]].concat();
    let cases: &[&[u8]] = &[
        &hello,
        &[0xFF; 64],
        b"\0\0\0\0\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        &frame_bytes(0x81, b"a frame without a handshake"),
    ];
    for bytes in cases {
        assert_eq!(scene.refused(bytes).0, 400, "{bytes:?}");
    }
    scene.goes_on(|stats| stats.handshakes_refused == cases.len() as u64);
}

/// What breaks RFC 6455 5 after the upgrade, and the code of RFC 6455 7.4.1 for it.
pub(crate) fn broken_frames_get_their_close_code(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let masked = |head: &[u8], size: usize| [head, &[0; 4], &vec![0; size]].concat();
    let cases: &[(&str, Vec<u8>, u16)] = &[
        ("garbage", vec![0xFF; 100], 1002),
        ("not masked", b"\x81\x02hi".to_vec(), 1002),
        ("not masked and empty", b"\x81\x00".to_vec(), 1002),
        (
            "16-bit length for 5 bytes",
            masked(&[0x82, 0xFE, 0, 5], 5),
            1002,
        ),
        (
            "16-bit length for 125 bytes",
            masked(&[0x82, 0xFE, 0, 125], 125),
            1002,
        ),
        (
            "64-bit length for 5 bytes",
            masked(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 0, 5], 5),
            1002,
        ),
        (
            "64-bit length for 65,535 bytes",
            masked(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0, 255, 255], 0),
            1002,
        ),
        (
            "64-bit length with its highest bit",
            masked(&[0x82, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], 0),
            1002,
        ),
        (
            "a frame of 2^62 bytes",
            masked(&[0x82, 0xFF, 0x40, 0, 0, 0, 0, 0, 0, 0], 0),
            1009,
        ),
        (
            "a frame above the limit",
            masked(&[0x82, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 1], 0),
            1009,
        ),
        (
            "a message above the limit in two",
            [
                masked(&[0x02, 0xFF, 0, 0, 0, 0, 0, 0x10, 0, 0], 1 << 20),
                masked(&[0x80, 0x81], 0),
            ]
            .concat(),
            1009,
        ),
        ("a ping in fragments", frame_bytes(0x09, b""), 1002),
        ("a close in fragments", frame_bytes(0x08, b""), 1002),
        (
            "a ping of 126 bytes",
            masked(&[0x89, 0xFE, 0, 126], 126),
            1002,
        ),
        ("RSV1 without an extension", frame_bytes(0xC1, b"x"), 1002),
        ("RSV2", frame_bytes(0xA1, b"x"), 1002),
        ("RSV3", frame_bytes(0x91, b"x"), 1002),
        ("opcode 3", frame_bytes(0x83, b""), 1002),
        ("opcode 15", frame_bytes(0x8F, b""), 1002),
        ("a continuation of nothing", frame_bytes(0x80, b"x"), 1002),
        (
            "a message inside of a message",
            [frame_bytes(0x01, b"a"), frame_bytes(0x81, b"b")].concat(),
            1002,
        ),
        (
            "text that is not UTF-8",
            frame_bytes(0x81, &[0xC3, 0x28]),
            1007,
        ),
        (
            "text that ends in a character",
            frame_bytes(0x81, &[0xE2, 0x82]),
            1007,
        ),
        (
            "a surrogate over two fragments",
            [frame_bytes(0x01, &[0xED]), frame_bytes(0x00, &[0xA0])].concat(),
            1007,
        ),
        ("a close of one byte", frame_bytes(0x88, &[3]), 1002),
        (
            "close code 1005",
            frame_bytes(0x88, &close_body(1005, "")),
            1002,
        ),
        (
            "close code 999",
            frame_bytes(0x88, &close_body(999, "")),
            1002,
        ),
        (
            "close code 5000",
            frame_bytes(0x88, &close_body(5000, "")),
            1002,
        ),
        (
            "a close reason that is not UTF-8",
            frame_bytes(0x88, &[3, 0xE8, 0xFF]),
            1007,
        ),
    ];
    for (name, bytes, code) in cases {
        assert_eq!(scene.failed(bytes), Some(*code), "{name}");
    }
    scene.goes_on(|stats| stats.closed_offence == cases.len() as u64);
}

/// RFC 7692 8, and the bound on what a message may grow to.
pub(crate) fn compression_bombs_are_1009(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let open = |scene: &Scene| {
        let mut wire = Wire::dial(scene.server.addr());
        wire.upgrade("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
        wire
    };
    // 64 MiB of zeros in 64 KiB; the limit is 1 MiB.
    let bomb = deflate(&vec![0; 64 << 20]);
    assert!(bomb.len() < 80_000);
    let before = scene.server.stats().pool_mapped;
    let mut wire = open(&scene);
    wire.try_send(&frame_bytes(0xC2, &bomb));
    assert_eq!(wire.closed(), Some(1009));
    // One byte above the limit, and exactly the limit.
    let mut wire = open(&scene);
    wire.send(&frame_bytes(0xC2, &deflate(&vec![0; (1 << 20) + 1])));
    assert_eq!(wire.closed(), Some(1009));
    let mut wire = open(&scene);
    wire.send(&frame_bytes(0xC2, &deflate(&vec![0; 1 << 20])));
    assert_eq!(crate::deflate::inflate(&wire.next().payload).len(), 1 << 20);
    // What cannot be inflated, and text that is not UTF-8 once it is.
    wire.send(&frame_bytes(0xC2, &[0xFF; 20]));
    assert_eq!(wire.closed(), Some(1007));
    let mut wire = open(&scene);
    wire.send(&frame_bytes(0xC1, &deflate(&[0xC3, 0x28])));
    assert_eq!(wire.closed(), Some(1007));
    drop(wire);
    scene.goes_on(|stats| stats.closed_offence == 4 && stats.pool_mapped <= before + (16 << 20));
}

/// 300,000 pings from one who reads nothing: the answers that wait are bounded, and when it reads,
/// all it is owed is there in order.
pub(crate) fn a_flood_of_pings_is_held_back(driver: DriverChoice) {
    const COUNT: u32 = 300_000;
    let mut scene = Scene::new(driver);
    let mut wire = Wire::dial_small(scene.server.addr());
    wire.upgrade("/", "");
    let stream = wire.stream().try_clone().expect("a second handle");
    let writer = std::thread::spawn(move || {
        for block in 0..COUNT / 1000 {
            let mut bytes = Vec::new();
            for number in block * 1000..(block + 1) * 1000 {
                let mut payload = [0; 100];
                payload[..4].copy_from_slice(&number.to_be_bytes());
                bytes.extend(frame_bytes(0x89, &payload));
            }
            std::io::Write::write_all(&mut &stream, &bytes).expect("sent");
        }
    });
    scene.server.until_stats("the hold", |stats| stats.held > 0);
    assert!(scene.server.stats().pings < u64::from(COUNT));
    // Meanwhile the others are served, and its answers take little memory.
    scene.bystander.frame(Opcode::Text, b"x");
    assert_eq!(scene.bystander.next().payload, b"x");
    let in_use = scene.server.stats().pool_in_use;
    assert!(in_use < 4 << 20, "{in_use} bytes");
    for number in 0..COUNT {
        let frame = wire.next();
        assert_eq!(
            (frame.first, &frame.payload[..4]),
            (0x8A, &number.to_be_bytes()[..])
        );
    }
    writer.join().expect("all sent");
    drop(wire);
    scene.goes_on(|stats| stats.pings == u64::from(COUNT));
}

pub(crate) fn floods_of_fragments_are_1008(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    // Empty ones bring a message no further: 16 are let pass.
    let mut flood = frame_bytes(0x01, b"a");
    flood.extend(frame_bytes(0x00, b"").repeat(17));
    assert_eq!(scene.failed(&flood), Some(1008));
    // Tiny ones: 4,096 are let pass.
    let mut flood = frame_bytes(0x01, b"a");
    flood.extend(frame_bytes(0x00, b"a").repeat(4096));
    assert_eq!(scene.failed(&flood), Some(1008));
    // As many as allowed make a message.
    let mut wire = Wire::open(scene.server.addr(), "/");
    let mut bytes = frame_bytes(0x01, b"a");
    bytes.extend(frame_bytes(0x00, b"a").repeat(4094));
    bytes.extend(frame_bytes(0x80, b"a"));
    wire.send(&bytes);
    assert_eq!(wire.next().payload.len(), 4096);
    drop(wire);
    scene.goes_on(|stats| stats.closed_offence == 2);
}

/// Many unfinished messages at once: what a worker keeps of them is bounded (1013).
pub(crate) fn unfinished_messages_are_bounded_together(driver: DriverChoice) {
    let mut scene = Scene::with(driver, |settings| settings.assembly_max = 256 * 1024);
    let start = frame_bytes(0x02, &[7; 60 * 1024]);
    let mut wires: Vec<Wire> = (0..4)
        .map(|_| {
            let mut wire = Wire::open(scene.server.addr(), "/");
            wire.send(&[&start[..], &frame_bytes(0x89, b"")].concat());
            assert_eq!(wire.next().first, 0x8A);
            wire
        })
        .collect();
    assert_eq!(scene.failed(&start), Some(1013));
    // The four that were there first can finish, and what they held is free again.
    for wire in &mut wires {
        wire.send(&frame_bytes(0x80, b""));
        assert_eq!(wire.next().payload.len(), 60 * 1024);
    }
    drop(wires);
    let mut wire = Wire::open(scene.server.addr(), "/");
    wire.send(&[&start[..], &frame_bytes(0x80, b"")].concat());
    assert_eq!(wire.next().payload.len(), 60 * 1024);
    drop(wire);
    scene.goes_on(|stats| stats.no_memory >= 1);
}

pub(crate) fn half_closed_sockets_end(driver: DriverChoice) {
    let mut scene = Scene::new(driver);
    let addr = scene.server.addr();
    // FIN before, within and right behind the head, within a frame, and between frames.
    let head = request("/", "");
    let partial = [head.as_bytes(), &frame_bytes(0x81, b"cut off")[..9]].concat();
    for bytes in [&b""[..], &head.as_bytes()[..40], head.as_bytes(), &partial] {
        let mut wire = Wire::dial(addr);
        wire.send(bytes);
        wire.finish();
        let (answer, end) = wire.rest();
        // A session may open and end at once; an unfinished head gets nothing.
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 101 "),
            "{answer:?}"
        );
        assert!(matches!(end, Heard::End | Heard::Reset));
    }
    let mut wire = Wire::open(addr, "/");
    wire.finish();
    assert_eq!(wire.closed(), None);
    // A close frame in front of FIN is answered: that end is in order.
    let mut wire = Wire::open(addr, "/");
    wire.frame(Opcode::Close, &close_body(1000, ""));
    wire.finish();
    assert_eq!(wire.next().close_code(), Some(1000));
    assert_eq!(wire.hear(), Heard::End);
    scene.goes_on(|stats| (stats.closed_by_peer, stats.closed_lost) == (1, 3));
}

/// A conversation with a bit of everything, to be cut.
fn conversation() -> (Vec<u8>, usize) {
    let head = request("/", "Sec-WebSocket-Extensions: permessage-deflate\r\n");
    let mut bytes = head.clone().into_bytes();
    bytes.extend(frame_bytes(0x81, "grüße".as_bytes()));
    bytes.extend(frame_bytes(0x02, b"first "));
    bytes.extend(frame_bytes(0x89, b"ping"));
    bytes.extend(frame_bytes(0x80, b"last"));
    bytes.extend(frame_bytes(0xC1, &deflate(b"hi")));
    bytes.extend(frame_bytes(0x82, &[9; 130]));
    bytes.extend(frame_bytes(0x88, &close_body(1000, "done")));
    (bytes, head.len())
}

/// The answers to it.
fn answers() -> Vec<Frame> {
    let frame = |first, payload: &[u8]| Frame {
        first,
        payload: payload.to_vec(),
    };
    vec![
        frame(0x81, "grüße".as_bytes()),
        frame(0x8A, b"ping"),
        frame(0x82, b"first last"),
        frame(0x81, b"hi"),
        frame(0x82, &[9; 130]),
        frame(0x88, &close_body(1000, "")),
    ]
}

fn settings_without_compressing(settings: &mut Settings) {
    // Answers are compared byte by byte.
    settings.deflate_size_min = 1 << 20;
}

pub(crate) fn a_reset_at_every_byte_leaves_nothing_behind(driver: DriverChoice) {
    let mut scene = Scene::with(driver, settings_without_compressing);
    let (bytes, _) = conversation();
    for cut in 0..=bytes.len() {
        let mut wire = Wire::dial(scene.server.addr());
        wire.send(&bytes[..cut]);
        wire.reset();
    }
    scene.goes_on(|stats| {
        let ended = stats.closed_by_peer + stats.closed_lost;
        stats.accepted + stats.accept_refused >= bytes.len() as u64
            && stats.handshakes == 1 + ended
            && (stats.closed_offence, stats.panics) == (0, 0)
    });
}

/// However the bytes are cut, the answers are the same.
pub(crate) fn a_cut_at_every_byte_changes_nothing(driver: DriverChoice) {
    let mut scene = Scene::with(driver, settings_without_compressing);
    let (bytes, head_size) = conversation();
    let addr = scene.server.addr();
    for cut in 1..bytes.len() {
        let mut wire = Wire::dial(addr);
        wire.send(&bytes[..cut]);
        if cut >= head_size {
            // The answer tells that the first part was read by itself.
            assert!(wire.head().starts_with("HTTP/1.1 101 "));
            wire.send(&bytes[cut..]);
        } else {
            // Another connection's round trip: the first part was read by then, as a rule.
            scene.bystander.frame(Opcode::Ping, b"");
            assert_eq!(scene.bystander.next().first, 0x8A);
            wire.send(&bytes[cut..]);
            assert!(wire.head().starts_with("HTTP/1.1 101 "));
        }
        for answer in answers() {
            assert_eq!(wire.next(), answer, "cut at {cut}");
        }
        assert_eq!(wire.hear(), Heard::End, "cut at {cut}");
    }
    scene.goes_on(|stats| stats.closed_by_peer == bytes.len() as u64 - 1);
}

/// All of it in one write, and byte by byte.
pub(crate) fn one_write_or_many_make_no_difference(driver: DriverChoice) {
    let mut scene = Scene::with(driver, settings_without_compressing);
    let (bytes, _) = conversation();
    for size in [bytes.len(), 1, 2, 7] {
        let mut wire = Wire::dial(scene.server.addr());
        for piece in bytes.chunks(size) {
            wire.send(piece);
        }
        assert!(wire.head().starts_with("HTTP/1.1 101 "));
        for answer in answers() {
            assert_eq!(wire.next(), answer, "in pieces of {size}");
        }
        assert_eq!(wire.hear(), Heard::End);
    }
    scene.goes_on(|stats| stats.closed_by_peer == 4);
}

/// More connections than allowed: those above are refused, those below go on.
pub(crate) fn connections_above_the_limit_are_refused(driver: DriverChoice) {
    let mut scene = Scene::with(driver, |settings| settings.sessions_max = 5);
    let mut within: Vec<Wire> = (0..4)
        .map(|_| Wire::open(scene.server.addr(), "/"))
        .collect();
    for _ in 0..10 {
        let mut wire = Wire::dial(scene.server.addr());
        wire.try_send(request("/", "").as_bytes());
        let (answer, _) = wire.rest();
        assert!(!answer.starts_with(b"HTTP/1.1 101 "));
    }
    for wire in &mut within {
        wire.frame(Opcode::Text, b"in");
        assert_eq!(wire.next().payload, b"in");
    }
    drop(within);
    scene.goes_on(|stats| stats.accept_refused == 10);
    // There is room again.
    drop(Wire::open(scene.server.addr(), "/"));
}
