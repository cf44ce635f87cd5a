//! What the tests of the session share: a readable notation for frames, and a harness that feeds
//! bytes in pieces and reports what came out in a form that does not depend on the pieces.
#![allow(dead_code, reason = "each test binary uses its own part")]

use hioload_ws::{Event, Kind, Limits, OffenceKind, Opcode, Outgoing, Role, Session};

/// What a session told, messages joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    Message {
        kind: Kind,
        payload: Vec<u8>,
        compressed: bool,
    },
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<(u16, String)>),
}

/// All that a session told, and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Outcome {
    pub(crate) told: Vec<Told>,
    pub(crate) offence: Option<OffenceKind>,
}

/// Feeds `pieces` one after the other.
pub(crate) fn run(role: Role, deflate: bool, limits: &Limits, pieces: &[&[u8]]) -> Outcome {
    let mut session = Session::new(role, deflate);
    let mut told = Vec::new();
    let mut open: Option<Vec<u8>> = None;
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match session.handle_input(limits, &mut input) {
                Ok(None) => break,
                Ok(Some(event)) => told.extend(record(event, &mut open)),
                Err(offence) => {
                    assert_eq!(session.offence(), Some(offence));
                    assert!(!session.is_open());
                    let again = session.handle_input(limits, &mut input);
                    assert_eq!(again, Err(offence), "the first offence is sticky");
                    return Outcome {
                        told,
                        offence: Some(offence.kind),
                    };
                }
            }
        }
        assert!(input.is_empty(), "None says that the input is used up");
    }
    Outcome {
        told,
        offence: None,
    }
}

fn record(event: Event<'_>, open: &mut Option<Vec<u8>>) -> Option<Told> {
    Some(match event {
        Event::Data {
            kind,
            payload,
            first,
            last,
            compressed,
        } => {
            assert_eq!(
                first,
                open.is_none(),
                "`first` is true on the first piece only"
            );
            let joined = open.get_or_insert_default();
            joined.extend_from_slice(payload);
            if !last {
                return None;
            }
            let payload = open.take().expect("just inserted");
            if kind == Kind::Text && !compressed {
                assert!(std::str::from_utf8(&payload).is_ok());
            }
            Told::Message {
                kind,
                payload,
                compressed,
            }
        }
        Event::Ping(payload) => Told::Ping(payload.to_vec()),
        Event::Pong(payload) => Told::Pong(payload.to_vec()),
        Event::Close(frame) => {
            Told::Close(frame.map(|frame| (frame.code().number(), frame.reason().to_owned())))
        }
    })
}

/// Feeds `bytes` whole, cut in two at every place, and byte by byte, and checks that the outcome is
/// the same each time.
pub(crate) fn run_every_split(role: Role, deflate: bool, limits: &Limits, bytes: &[u8]) -> Outcome {
    let whole = run(role, deflate, limits, &[bytes]);
    for at in 0..=bytes.len() {
        let (left, right) = bytes.split_at(at);
        assert_eq!(
            run(role, deflate, limits, &[left, right]),
            whole,
            "cut at {at}"
        );
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(run(role, deflate, limits, &single), whole, "byte by byte");
    whole
}

/// One whole frame, masked if there is a key.
pub(crate) fn frame(outgoing: Outgoing, payload: &[u8]) -> Vec<u8> {
    assert_eq!(outgoing.len, payload.len());
    let mut bytes = hioload_ws::encode_header(outgoing).to_vec();
    let start = bytes.len();
    bytes.extend_from_slice(payload);
    if let Some(key) = outgoing.mask {
        hioload_ws::mask(&mut bytes[start..], key, 0);
    }
    bytes
}

/// A frame by its parts.
pub(crate) fn simple(opcode: Opcode, fin: bool, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    frame(
        Outgoing {
            opcode,
            fin,
            compressed: false,
            len: payload.len(),
            mask,
        },
        payload,
    )
}

pub(crate) const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// Reads a trace: frames separated by `|`, each `header : payload`, both made of hex bytes and
/// `'text'`. For a server the mask bit, the key and the masking are added.
pub(crate) fn trace(role: Role, text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for frame in text.split('|') {
        let (header, payload) = frame.split_once(':').unwrap_or((frame, ""));
        let mut header = units(header);
        let mut payload = units(payload);
        if role == Role::Server && header.len() > 1 {
            header[1] |= 0x80;
            header.extend_from_slice(&KEY);
            hioload_ws::mask(&mut payload, KEY, 0);
        }
        bytes.extend(header);
        bytes.extend(payload);
    }
    bytes
}

fn units(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, part) in text.split('\'').enumerate() {
        if index % 2 == 1 {
            bytes.extend_from_slice(part.as_bytes());
            continue;
        }
        for hex in part.split_whitespace() {
            // `61*5` repeats a byte.
            let (hex, times) = hex.split_once('*').unwrap_or((hex, "1"));
            let byte = u8::from_str_radix(hex, 16).expect("a hex byte");
            bytes.extend(std::iter::repeat_n(byte, times.parse().expect("a count")));
        }
    }
    bytes
}
