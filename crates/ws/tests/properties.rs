//! Properties of the session: whatever is sent legally comes out as it went in, however it is
//! fragmented, interleaved and cut; whatever else comes, the outcome does not depend on the cuts
//! and agrees with an independent implementation.

mod common;

use std::io::{Cursor, ErrorKind, Read, Write};

use common::{Outcome, Told, frame, run};
use hioload_ws::{CloseCode, Kind, Limits, Opcode, Outgoing, Role, Session};
use proptest::prelude::*;

/// A message as it is going to be sent: its payload cut into fragments, with pings in between.
#[derive(Clone, Debug)]
struct Plan {
    kind: Kind,
    fragments: Vec<Vec<u8>>,
    /// Before each fragment, the payloads of the pings sent there.
    pings: Vec<Vec<Vec<u8>>>,
}

fn plan() -> impl Strategy<Value = Plan> {
    let payload = prop_oneof![
        any::<String>().prop_map(|text| (Kind::Text, text.into_bytes())),
        "[a-z]{0,300}".prop_map(|text| (Kind::Text, text.into_bytes())),
        prop::collection::vec(any::<u8>(), 0..300).prop_map(|bytes| (Kind::Binary, bytes)),
        (60_000..70_000usize).prop_map(|len| (Kind::Binary, vec![len as u8; len])),
    ];
    let pings = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..126), 0..3);
    let cuts = prop::collection::vec((any::<prop::sample::Index>(), pings), 1..6);
    (payload, cuts).prop_map(|((kind, payload), cuts)| {
        let mut ends: Vec<usize> = cuts[1..]
            .iter()
            .map(|(index, _)| index.index(payload.len() + 1))
            .collect();
        ends.push(payload.len());
        ends.sort_unstable();
        let mut start = 0;
        let fragments = ends
            .into_iter()
            .map(|end| payload[std::mem::replace(&mut start, end)..end].to_vec())
            .collect();
        Plan {
            kind,
            fragments,
            pings: cuts.into_iter().map(|(_, pings)| pings).collect(),
        }
    })
}

/// Sends the plans by a session of this role; gives the bytes, and what the peer must be told.
fn send(role: Role, plans: &[Plan], keys: &mut impl FnMut() -> [u8; 4]) -> (Vec<u8>, Vec<Told>) {
    let mut session = Session::new(role, false);
    let mut key = || (role == Role::Client).then(&mut *keys);
    let (mut bytes, mut told) = (Vec::new(), Vec::new());
    for plan in plans {
        let last = plan.fragments.len() - 1;
        for (index, (payload, pings)) in plan.fragments.iter().zip(&plan.pings).enumerate() {
            for ping in pings {
                bytes.extend_from_slice(&session.ping(ping, key()).expect("legal"));
                told.push(Told::Ping(ping.clone()));
            }
            let opcode = if index == 0 {
                plan.kind.opcode()
            } else {
                Opcode::Continuation
            };
            let (fin, len, mask) = (index == last, payload.len(), key());
            let outgoing = Outgoing {
                opcode,
                fin,
                compressed: false,
                len,
                mask,
            };
            let header = session.frame_header(outgoing).expect("legal");
            let whole = frame(outgoing, payload);
            assert!(whole.starts_with(&header));
            bytes.extend(whole);
        }
        let payload = plan.fragments.concat();
        told.push(Told::Message {
            kind: plan.kind,
            payload,
            compressed: false,
        });
    }
    bytes.extend_from_slice(
        &session
            .close(CloseCode::NORMAL, "bye", key())
            .expect("legal"),
    );
    told.push(Told::Close(Some((1000, "bye".into()))));
    (bytes, told)
}

fn pieces<'a>(bytes: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).collect();
    ends.push(bytes.len());
    ends.sort_unstable();
    let mut start = 0;
    ends.into_iter()
        .map(|end| &bytes[std::mem::replace(&mut start, end)..end])
        .collect()
}

fn peer(role: Role) -> Role {
    match role {
        Role::Server => Role::Client,
        Role::Client => Role::Server,
    }
}

fn role() -> impl Strategy<Value = Role> {
    prop_oneof![Just(Role::Server), Just(Role::Client)]
}

/// Codes on both sides of every border. tungstenite does not know 1014, which was registered later.
fn close_code() -> impl Strategy<Value = u16> {
    (900..5100u16).prop_filter("unknown to tungstenite", |code| *code != 1014)
}

/// As a share: tungstenite takes lengths that are not minimal.
const NEVER: u32 = 1;

/// Frames that are legal more often than not, so that long runs of them are. One in `long_share`
/// has a length that is not minimal.
fn wild_frame(long_share: u32) -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![
        8 => prop::sample::select(vec![0u8, 1, 2]),
        4 => prop::sample::select(vec![9u8, 10]),
        2 => Just(8u8),
        1 => 0..16u8,
    ];
    let payload = prop_oneof![
        4 => any::<String>().prop_map(String::into_bytes),
        2 => "[ -~]{0,200}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..140),
        1 => (close_code(), "[a-z]{0,9}").prop_map(|(code, reason)| {
            [&code.to_be_bytes()[..], reason.as_bytes()].concat()
        }),
    ];
    let rare = |of: u32| (0..of).prop_map(|n| n == 1);
    (
        opcode,
        any::<bool>(),
        payload,
        any::<[u8; 4]>(),
        rare(20),
        rare(20),
        rare(long_share),
    )
        .prop_map(|(opcode, fin, payload, key, reserved, unmasked, long)| {
            let mut bytes = vec![opcode | u8::from(fin || opcode >= 8) << 7];
            if reserved {
                bytes[0] |= 0x20;
            }
            let mask = if unmasked { 0 } else { 0x80 };
            match payload.len() {
                len if long => {
                    bytes.push(mask | 127);
                    bytes.extend((len as u64).to_be_bytes());
                }
                len @ ..=125 => bytes.push(mask | len as u8),
                len => {
                    bytes.push(mask | 126);
                    bytes.extend((len as u16).to_be_bytes());
                }
            }
            if !unmasked {
                bytes.extend(key);
            }
            let start = bytes.len();
            bytes.extend(payload);
            if !unmasked {
                hioload_ws::mask(&mut bytes[start..], key, 0);
            }
            bytes
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_goes_in_comes_out(
        role in role(),
        plans in prop::collection::vec(plan(), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        seed in any::<u32>(),
    ) {
        let mut state = seed;
        let mut keys = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()
        };
        let (bytes, told) = send(role, &plans, &mut keys);
        let outcome = run(peer(role), false, &Limits::default(), &pieces(&bytes, &cuts));
        prop_assert_eq!(outcome, Outcome { told, offence: None });
    }

    #[test]
    fn cuts_change_nothing(
        role in role(),
        deflate in any::<bool>(),
        frames in prop::collection::vec(wild_frame(20), 0..8),
        noise in prop::collection::vec(any::<u8>(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        size_max in 0..400usize,
    ) {
        let bytes = [frames.concat(), noise].concat();
        let limits = Limits {
            message_size_max: size_max * 2,
            frame_size_max: size_max,
            fragments_max: 5,
            fragments_empty_max: 1,
        };
        let whole = run(role, deflate, &limits, &[&bytes]);
        prop_assert_eq!(run(role, deflate, &limits, &pieces(&bytes, &cuts)), whole);
    }

    #[test]
    fn agrees_with_tungstenite(frames in prop::collection::vec(wild_frame(NEVER), 0..8)) {
        let bytes = frames.concat();
        let ours = run(Role::Server, false, &Limits::default(), &[&bytes]);
        let (told, is_refused) = tungstenite_told(&bytes);
        prop_assert_eq!(ours.told, told, "{:?}", ours.offence);
        prop_assert_eq!(ours.offence.is_some(), is_refused);
    }
}

/// What tungstenite makes of the bytes as a server, and whether it found fault with them.
fn tungstenite_told(bytes: &[u8]) -> (Vec<Told>, bool) {
    use tungstenite::{Error, Message, WebSocket, protocol};

    let stream = Peer(Cursor::new(bytes.to_vec()));
    let mut socket = WebSocket::from_raw_socket(stream, protocol::Role::Server, None);
    let mut told = Vec::new();
    loop {
        let message = |kind, payload: &[u8]| Told::Message {
            kind,
            payload: payload.to_vec(),
            compressed: false,
        };
        told.push(match socket.read() {
            Ok(Message::Text(text)) => message(Kind::Text, text.as_bytes()),
            Ok(Message::Binary(bytes)) => message(Kind::Binary, &bytes),
            Ok(Message::Ping(payload)) => Told::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Told::Pong(payload.to_vec()),
            // Its way to say that the peer's close code is not allowed.
            Ok(Message::Close(Some(frame))) if frame.reason == "Protocol violation" => {
                return (told, true);
            }
            Ok(Message::Close(frame)) => {
                let frame = frame.map(|f| (u16::from(f.code), f.reason.as_str().to_owned()));
                told.push(Told::Close(frame));
                return (told, false);
            }
            Ok(Message::Frame(_)) => unreachable!("never read"),
            Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => return (told, false),
            Err(_) => return (told, true),
        });
    }
}

/// Bytes to read, then silence; what is written is dropped.
struct Peer(Cursor<Vec<u8>>);

impl Read for Peer {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Peer {
    fn write(&mut self, buffer: &[u8]) -> std::io::Result<usize> {
        Ok(buffer.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
