//! A session fed with anything: the outcome is the same however the input is cut, nothing gets
//! past the limits, text is UTF-8, the first offence stays, and what is compressed is inflated
//! within its bound or refused.
//!
//! Input: 4 bytes of choices, then what the peer sends.

use hioload_ws::deflate::Inflater;
use hioload_ws::{CloseCode, Event, Kind, Limits, OffenceKind, Role, Session};

/// What a session told, in a form that does not depend on the cuts.
#[derive(Debug, Default, PartialEq, Eq)]
struct Outcome {
    messages: Vec<(Kind, bool, Vec<u8>)>,
    /// Opcode and payload of control frames, with the number of messages before them.
    controls: Vec<(usize, u8, Vec<u8>)>,
    offence: Option<OffenceKind>,
}

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some(([bits, size_max, fragments_max, cut], input)) = data.split_first_chunk() else {
        return;
    };
    let role = if bits & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    let deflate = bits & 2 != 0;
    let unlimited = bits & 4 != 0;
    let limits = Limits {
        message_size_max: if unlimited {
            1 << 20
        } else {
            usize::from(*size_max) * 2
        },
        frame_size_max: if unlimited {
            1 << 20
        } else {
            usize::from(*size_max)
        },
        fragments_max: if unlimited {
            4096
        } else {
            u32::from(*fragments_max)
        },
        fragments_empty_max: u16::from(*fragments_max) / 2,
    };

    let whole = feed(role, deflate, &limits, &[input]);
    assert!(
        whole
            .messages
            .iter()
            .all(|message| message.2.len() <= limits.message_size_max)
    );
    let (left, right) = input.split_at(usize::from(*cut).min(input.len()));
    assert_eq!(
        feed(role, deflate, &limits, &[left, right]),
        whole,
        "cut at {cut}"
    );
    let single: Vec<&[u8]> = input.chunks(1).collect();
    assert_eq!(feed(role, deflate, &limits, &single), whole, "byte by byte");

    let takeover = bits & 8 != 0;
    inflate(&whole, takeover, usize::from(*size_max) * 64);
}

fn feed(role: Role, deflate: bool, limits: &Limits, pieces: &[&[u8]]) -> Outcome {
    let mut session = Session::new(role, deflate);
    let mut outcome = Outcome::default();
    let mut open = Vec::new();
    for piece in pieces {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            let before = input.len();
            let event = match session.handle_input(limits, &mut input) {
                Ok(Some(event)) => event,
                Ok(None) => break,
                Err(offence) => {
                    assert_eq!(session.handle_input(limits, &mut input), Err(offence));
                    assert!(
                        session
                            .close(offence.code(), offence.reason(), key(role))
                            .is_ok()
                    );
                    outcome.offence = Some(offence.kind);
                    return outcome;
                }
            };
            let count = outcome.messages.len();
            match event {
                Event::Data {
                    kind,
                    payload,
                    first,
                    last,
                    compressed,
                } => {
                    assert_eq!(first, open.is_empty());
                    // A marker in front, so that a message that started without payload counts.
                    if first {
                        open.push(0);
                    }
                    open.extend_from_slice(payload);
                    if last {
                        let payload = std::mem::take(&mut open).split_off(1);
                        let is_text = kind == Kind::Text && !compressed;
                        assert!(!is_text || std::str::from_utf8(&payload).is_ok());
                        outcome.messages.push((kind, compressed, payload));
                    }
                }
                Event::Ping(payload) => outcome.controls.push((count, 9, payload.to_vec())),
                Event::Pong(payload) => outcome.controls.push((count, 10, payload.to_vec())),
                Event::Close(frame) => {
                    assert!(session.close_received() && !session.is_open());
                    let frame = frame.map(|frame| (frame.code(), frame.reason().to_owned()));
                    let (code, reason) = frame.unwrap_or((CloseCode::NO_STATUS, String::new()));
                    let payload = [&code.number().to_be_bytes()[..], reason.as_bytes()].concat();
                    outcome.controls.push((count, 8, payload));
                }
            }
            assert!(input.len() < before, "an event takes input");
        }
        assert!(input.is_empty());
    }
    outcome
}

fn key(role: Role) -> Option<[u8; 4]> {
    (role == Role::Client).then_some([1, 2, 3, 4])
}

fn inflate(outcome: &Outcome, takeover: bool, size_max: usize) {
    let mut inflater = Inflater::new(15);
    let mut out = Vec::new();
    for (_, _, payload) in outcome.messages.iter().filter(|message| message.1) {
        out.clear();
        match inflater.inflate(payload, &mut out, size_max, takeover) {
            Ok(()) => assert!(out.len() <= size_max),
            Err(_) => assert!(out.is_empty()),
        }
        assert!(
            out.capacity() <= size_max,
            "allocated {} of {size_max}",
            out.capacity()
        );
    }
}
