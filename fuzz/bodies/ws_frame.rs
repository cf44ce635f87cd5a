//! One frame: what `encode_header` writes, the session of the other end reads back, and whatever
//! bytes a header is made of, both ends of the parser agree about them. Masking and the UTF-8 check
//! against the plainest code for the same.
//!
//! Input: 8 bytes of choices, then payload.

use hioload_ws::utf8::{Utf8Check, is_valid};
use hioload_ws::{Event, Kind, Limits, Opcode, Outgoing, Role, Session, encode_header, mask};

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((choices, payload)) = data.split_first_chunk::<8>() else {
        return;
    };
    let [bits, phase, cut, size_scale, key @ ..] = *choices;
    check_mask(payload, key, usize::from(phase));
    check_utf8(payload, usize::from(cut));

    let role = if bits & 1 == 0 {
        Role::Server
    } else {
        Role::Client
    };
    // Long lengths without long inputs.
    let payload = payload.repeat(1 << (size_scale % 8));
    check_message(role, bits & 2 != 0, bits & 4 != 0, key, &payload);
    check_control(role, bits & 8 != 0, key, &payload);
}

fn check_mask(payload: &[u8], key: [u8; 4], phase: usize) {
    let plainly: Vec<u8> = payload
        .iter()
        .enumerate()
        .map(|(n, byte)| byte ^ key[(n + phase) % 4])
        .collect();
    let mut masked = payload.to_vec();
    mask(&mut masked, key, phase);
    assert_eq!(masked, plainly);
}

fn check_utf8(payload: &[u8], cut: usize) {
    let expected = std::str::from_utf8(payload);
    assert_eq!(is_valid(payload), expected.is_ok());
    let (left, right) = payload.split_at(cut.min(payload.len()));
    let mut check = Utf8Check::new();
    let pushed = check.push(left).and_then(|()| check.push(right));
    // An error in the pieces is one that no continuation could heal.
    let is_hopeless = expected.is_err_and(|error| error.error_len().is_some());
    assert_eq!(pushed.is_err(), is_hopeless);
    if pushed.is_ok() {
        assert_eq!(check.finish().is_ok(), expected.is_ok());
    }
}

/// A whole message from a session of `role` to one of the other.
fn check_message(role: Role, is_text: bool, compressed: bool, key: [u8; 4], payload: &[u8]) {
    let kind = if is_text { Kind::Text } else { Kind::Binary };
    let (fin, len) = (true, payload.len());
    let mask_key = (role == Role::Client).then_some(key);
    let outgoing = Outgoing {
        opcode: kind.opcode(),
        fin,
        compressed,
        len,
        mask: mask_key,
    };
    let header = Session::new(role, compressed)
        .frame_header(outgoing)
        .expect("legal");
    assert_eq!(*header, *encode_header(outgoing));
    let mut bytes = [&header, payload].concat();
    if let Some(key) = mask_key {
        mask(&mut bytes[header.len()..], key, 0);
    }

    let mut input = &mut bytes[..];
    let limits = Limits {
        frame_size_max: len,
        message_size_max: len,
        ..Limits::default()
    };
    let mut session = Session::new(other(role), compressed);
    match session.handle_input(&limits, &mut input) {
        Ok(Some(Event::Data {
            kind: read,
            payload: plain,
            first,
            last,
            compressed: flag,
        })) => {
            assert_eq!(
                (read, &*plain, first, last, flag),
                (kind, payload, true, true, compressed)
            );
            assert!(!is_text || compressed || std::str::from_utf8(payload).is_ok());
        }
        Err(_) => assert!(is_text && !compressed && std::str::from_utf8(payload).is_err()),
        other => panic!("{other:?}"),
    }
}

fn check_control(role: Role, is_ping: bool, key: [u8; 4], payload: &[u8]) {
    let mask_key = (role == Role::Client).then_some(key);
    let mut session = Session::new(role, false);
    let frame = if is_ping {
        session.ping(payload, mask_key)
    } else {
        session.pong(payload, mask_key)
    };
    let Ok(frame) = frame else {
        assert!(payload.len() > 125);
        return;
    };
    let mut bytes = frame.to_vec();
    let mut input = &mut bytes[..];
    match Session::new(other(role), false).handle_input(&Limits::default(), &mut input) {
        Ok(Some(Event::Ping(read))) if is_ping => assert_eq!(*read, *payload),
        Ok(Some(Event::Pong(read))) if !is_ping => assert_eq!(*read, *payload),
        other => panic!("{other:?}, opcode {:?}", Opcode::from_bits(frame[0] & 15)),
    }
}

fn other(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}
