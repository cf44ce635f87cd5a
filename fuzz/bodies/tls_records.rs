//! Any bytes as records, cut up in any way: a server that has seen nothing yet comes to the same end, and an open one
//! hands out nothing but what its client sealed, from the beginning.
//!
//! The first byte says how the rest is cut, its highest bit which of the two is asked.

use std::sync::LazyLock;

use hioload_net::tls::{
    self, Acceptor, AcceptorConfig, Connector, ConnectorConfig, Event, Inbox, Reason, Roots,
    SPILL_SIZE, Session,
};

static ENDS: LazyLock<(Acceptor, Connector)> = LazyLock::new(|| {
    let pair = tls::self_signed(&["localhost".to_owned()]).expect("a name");
    let acceptor = Acceptor::new(&AcceptorConfig::with_pem(&pair)).expect("a pair");
    let connector = Connector::new(&ConnectorConfig {
        roots: Roots::Pem(pair.certificate),
        ..ConnectorConfig::default()
    });
    (acceptor, connector.expect("roots"))
});

/// What the client of an open session sealed.
const SEALED: [&[u8]; 3] = [b"one", &[7; 40], b"the third and last of them"];

/// Checks one input; panics when something is wrong.
pub(crate) fn run(data: &[u8]) {
    let Some((&first, data)) = data.split_first() else {
        return;
    };
    let step = usize::from(first % 64) + 1;
    if first & 0x80 == 0 {
        let whole = begin(data, data.len().max(1));
        assert_eq!(begin(data, step), whole, "in steps of {step}");
    } else {
        tamper(data, step);
    }
}

/// What a fresh server says to these records.
fn begin(data: &[u8], step: usize) -> Option<Reason> {
    let mut server = ENDS.0.accept().expect("randomness");
    give(&mut server, data, step, &mut Vec::new())
}

/// Records of a client, changed on their way by adding `data` to them.
fn tamper(data: &[u8], step: usize) {
    let mut server = ENDS.0.accept().expect("randomness");
    let mut client = ENDS.1.connect("localhost").expect("a name");
    while server.is_handshaking() || client.is_handshaking() {
        let (mut up, mut down) = (Vec::new(), Vec::new());
        client.poll_output(&mut up);
        assert_eq!(give(&mut server, &up, step, &mut Vec::new()), None);
        server.poll_output(&mut down);
        assert_eq!(give(&mut client, &down, step, &mut Vec::new()), None);
    }
    let mut records = Vec::new();
    for plain in SEALED {
        let mut out = [0; 256];
        let sealed = client
            .encrypt([plain], &mut Vec::new(), &mut out)
            .expect("open");
        records.extend_from_slice(&out[..sealed.cipher]);
    }
    for (byte, change) in records.iter_mut().zip(data) {
        *byte ^= change;
    }
    records.extend(data.iter().skip(records.len()));
    let mut got = Vec::new();
    give(&mut server, &records, step, &mut got);
    assert!(SEALED.concat().starts_with(&got), "{got:x?}");
}

fn give(to: &mut Session, bytes: &[u8], step: usize, got: &mut Vec<u8>) -> Option<Reason> {
    let mut inbox = Inbox::default();
    for piece in bytes.chunks(step) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        loop {
            match to.handle_input(&mut input, &mut inbox) {
                Ok(None) => break,
                Ok(Some(Event::Data(plain))) => got.extend_from_slice(plain),
                Ok(Some(Event::Handshake(_) | Event::Closed)) => {}
                Err(failure) => return Some(failure.reason()),
            }
        }
        assert!(input.is_empty() && to.spilled_size() as u64 <= SPILL_SIZE.max);
    }
    None
}
