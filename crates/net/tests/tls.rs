//! Pairs of sessions: every split of what goes between them, and every way to fail.

#![expect(clippy::unwrap_used, reason = "a test says no more by expect")]

use hioload_net::tls::{
    self, Acceptor, AcceptorConfig, Connector, ConnectorConfig, Event, Failure, Handshake,
    Identity, Inbox, PemPair, RECORD_OVERHEAD, Reason, Roots, Session, Version,
};

const NAME: &str = "server.example";

fn pair_for(name: &str) -> PemPair {
    tls::self_signed(&[name.to_owned()]).unwrap()
}

fn trusting(pair: &PemPair) -> ConnectorConfig {
    ConnectorConfig {
        roots: Roots::Pem(pair.certificate.clone()),
        alpn: vec!["http/1.1".to_owned()],
        ..ConnectorConfig::default()
    }
}

/// A server and a client that trusts it.
fn made() -> (Acceptor, Connector) {
    let pair = pair_for(NAME);
    let acceptor = Acceptor::new(&AcceptorConfig::with_pem(&pair)).unwrap();
    (acceptor, Connector::new(&trusting(&pair)).unwrap())
}

/// What came out of an end.
#[derive(Debug, Default, PartialEq)]
struct Got {
    handshake: Option<Handshake>,
    data: Vec<u8>,
    is_closed: bool,
}

/// Gives `bytes` to a session in pieces of `step`.
fn give(
    to: &mut Session,
    bytes: &[u8],
    step: usize,
    inbox: &mut Inbox,
    got: &mut Got,
) -> Result<(), Failure> {
    for piece in bytes.chunks(step.max(1)) {
        let mut piece = piece.to_vec();
        let mut input = &mut piece[..];
        while let Some(event) = to.handle_input(&mut input, inbox)? {
            match event {
                Event::Handshake(handshake) => {
                    assert!(got.handshake.replace(handshake).is_none(), "twice");
                }
                Event::Data(bytes) => {
                    assert!(got.handshake.is_some() && !bytes.is_empty());
                    got.data.extend_from_slice(bytes);
                }
                Event::Closed => {
                    assert!(!std::mem::replace(&mut got.is_closed, true), "twice");
                }
            }
        }
        assert!(input.is_empty(), "all input is taken");
    }
    Ok(())
}

/// A server, a client, and what each of them got.
struct Both {
    server: Session,
    client: Session,
    step: usize,
    inbox: Inbox,
    at_server: Got,
    at_client: Got,
}

impl Both {
    fn new(acceptor: &Acceptor, connector: &Connector, name: &str) -> Both {
        Both {
            server: acceptor.accept().unwrap(),
            client: connector.connect(name).unwrap(),
            step: usize::MAX,
            inbox: Inbox::default(),
            at_server: Got::default(),
            at_client: Got::default(),
        }
    }

    /// Lets both talk until neither has more to say: what the server and the client failed with.
    fn talk(&mut self) -> (Option<Failure>, Option<Failure>) {
        let mut failures = (None, None);
        loop {
            let (mut up, mut down) = (Vec::new(), Vec::new());
            self.client.poll_output(&mut up);
            let (step, inbox) = (self.step, &mut self.inbox);
            if let Err(failure) = give(&mut self.server, &up, step, inbox, &mut self.at_server) {
                failures.0 = Some(failure);
            }
            self.server.poll_output(&mut down);
            if let Err(failure) = give(&mut self.client, &down, step, inbox, &mut self.at_client) {
                failures.1 = Some(failure);
            }
            if up.is_empty() && down.is_empty() {
                return failures;
            }
        }
    }

    fn open(acceptor: &Acceptor, connector: &Connector) -> Both {
        let mut both = Both::new(acceptor, connector, NAME);
        assert_eq!(both.talk(), (None, None));
        assert!(!both.client.is_handshaking() && !both.server.is_handshaking());
        both
    }
}

/// Everything in as many buffers of `room` as it takes.
fn seal_all(from: &mut Session, pieces: &[&[u8]], room: usize) -> Vec<u8> {
    let total: usize = pieces.iter().map(|piece| piece.len()).sum();
    let (mut records, mut taken) = (Vec::new(), 0);
    let mut out = vec![0; room];
    while taken < total {
        let mut skip = taken;
        let rest = pieces.iter().map(move |piece| {
            let now = skip.min(piece.len());
            skip -= now;
            &piece[now..]
        });
        let sealed = from.encrypt(rest, &mut Vec::new(), &mut out).unwrap();
        assert!(sealed.plain > 0, "no progress");
        taken += sealed.plain;
        records.extend_from_slice(&out[..sealed.cipher]);
    }
    records
}

#[test]
fn a_session_opens_whatever_pieces_its_records_come_in() {
    let (acceptor, connector) = made();
    for step in (1..70).chain([100, 500, 1000, 5000]) {
        let mut both = Both::new(&acceptor, &connector, NAME);
        both.step = step;
        assert_eq!(both.talk(), (None, None), "{step}");
        let handshake = both.at_server.handshake.unwrap();
        assert_eq!(handshake.version, Version::Tls13);
        assert_eq!(both.at_client.handshake.unwrap().version, Version::Tls13);
        assert_eq!(both.server.alpn(), Some(&b"http/1.1"[..]));
        assert_eq!(both.client.alpn(), Some(&b"http/1.1"[..]));
    }
}

#[test]
fn data_arrives_over_every_split() {
    let (acceptor, connector) = made();
    let mut both = Both::open(&acceptor, &connector);
    for step in 1..90 {
        let bytes: Vec<u8> = (0..200).map(|byte| (byte * step) as u8).collect();
        let mut records = Vec::new();
        for piece in bytes.chunks(37) {
            records.extend(seal_all(&mut both.client, &[piece], 256));
        }
        both.at_server.data.clear();
        give(
            &mut both.server,
            &records,
            step,
            &mut both.inbox,
            &mut both.at_server,
        )
        .unwrap();
        assert_eq!(both.at_server.data, bytes, "{step}");
    }
}

#[test]
fn data_of_all_sizes_goes_both_ways_in_any_room() {
    let (acceptor, connector) = made();
    let mut both = Both::open(&acceptor, &connector);
    for size in [
        1, 2, 1023, 16_383, 16_384, 16_385, 65_535, 65_536, 65_537, 300_000,
    ] {
        for room in [RECORD_OVERHEAD + 1, 1000, 16_384 + RECORD_OVERHEAD, 1 << 16] {
            if size / room > 300 {
                continue;
            }
            let bytes: Vec<u8> = (0..size).map(|place| (place * 7 + room) as u8).collect();
            let (head, tail) = bytes.split_at(size / 3);
            let records = seal_all(&mut both.server, &[head, &[], tail], room);
            both.at_client.data.clear();
            give(
                &mut both.client,
                &records,
                50_000,
                &mut both.inbox,
                &mut both.at_client,
            )
            .unwrap();
            assert!(both.at_client.data == bytes, "{size} in {room}");
        }
    }
}

#[test]
fn many_small_pieces_share_a_record() {
    let (acceptor, connector) = made();
    let mut both = Both::open(&acceptor, &connector);
    let pieces = [&b"0123456789"[..]; 100];
    let mut out = [0; 4096];
    let sealed = both
        .client
        .encrypt(pieces, &mut Vec::new(), &mut out)
        .unwrap();
    assert_eq!((sealed.plain, sealed.cipher), (1000, 1000 + 5 + 1 + 16));
    let mut out = [0; RECORD_OVERHEAD];
    let sealed = both
        .client
        .encrypt(pieces, &mut Vec::new(), &mut out)
        .unwrap();
    assert_eq!(
        (sealed.plain, sealed.cipher),
        (0, 0),
        "no room for one byte"
    );
}

#[test]
fn nothing_plain_leaves_before_the_handshake_or_after_the_end() {
    let (acceptor, connector) = made();
    let mut client = connector.connect(NAME).unwrap();
    let mut out = [0; 4096];
    let sealed = client
        .encrypt([&b"early"[..]], &mut Vec::new(), &mut out)
        .unwrap();
    assert!(
        sealed.plain == 0 && sealed.cipher > 100,
        "the client's hello alone"
    );
    let mut both = Both::open(&acceptor, &connector);
    both.client.close_notify();
    let sealed = both
        .client
        .encrypt([&b"late"[..]], &mut Vec::new(), &mut out)
        .unwrap();
    assert!(sealed.plain == 0 && sealed.cipher > 0, "the alert alone");
}

#[test]
fn closing_is_half_closing() {
    let (acceptor, connector) = made();
    let mut both = Both::open(&acceptor, &connector);
    both.client.close_notify();
    both.client.close_notify();
    assert_eq!(both.talk(), (None, None));
    assert!(both.at_server.is_closed && !both.at_client.is_closed);
    both.server.handle_eof().unwrap();
    let records = seal_all(&mut both.server, &[b"still here"], 256);
    give(
        &mut both.client,
        &records,
        7,
        &mut both.inbox,
        &mut both.at_client,
    )
    .unwrap();
    assert_eq!(both.at_client.data, b"still here");
    // What comes behind the end is ignored.
    give(
        &mut both.server,
        b"anything",
        3,
        &mut both.inbox,
        &mut both.at_server,
    )
    .unwrap();
    both.server.close_notify();
    assert_eq!(both.talk(), (None, None));
    assert!(both.at_client.is_closed);
}

#[test]
fn an_end_without_notice_is_told() {
    let (acceptor, connector) = made();
    let mut both = Both::open(&acceptor, &connector);
    assert_eq!(
        both.server.handle_eof().unwrap_err().reason(),
        Reason::Truncated
    );
    assert_eq!(
        acceptor
            .accept()
            .unwrap()
            .handle_eof()
            .unwrap_err()
            .reason(),
        Reason::Truncated
    );
}

#[test]
fn sessions_are_resumed_across_a_reload_and_not_when_it_is_off() {
    let pair = pair_for(NAME);
    let mut config = AcceptorConfig::with_pem(&pair);
    let acceptor = Acceptor::new(&config).unwrap();
    let connector = Connector::new(&trusting(&pair)).unwrap();
    let is_resumed = || {
        let both = Both::open(&acceptor, &connector);
        let at = [both.at_server, both.at_client].map(|got| got.handshake.unwrap().is_resumed);
        assert_eq!(at[0], at[1]);
        at[0]
    };
    assert_eq!([is_resumed(), is_resumed()], [false, true]);
    acceptor.reload(&config).unwrap();
    assert!(is_resumed(), "tickets outlive a reload");
    config.resumption = false;
    acceptor.reload(&config).unwrap();
    assert_eq!([is_resumed(), is_resumed()], [false, false]);
}

#[test]
fn a_reload_takes_effect_at_once_and_a_bad_one_not_at_all() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("chain"), directory.path().join("key"));
    let write = |pair: &PemPair| {
        std::fs::write(&certificate, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
    };
    let (first, second) = (pair_for(NAME), pair_for(NAME));
    write(&first);
    let config = AcceptorConfig {
        identities: vec![Identity::Files {
            certificate: certificate.clone(),
            key: key.clone(),
        }],
        ..AcceptorConfig::default()
    };
    let acceptor = Acceptor::new(&config).unwrap();
    let to_first = Connector::new(&trusting(&first)).unwrap();
    let to_second = Connector::new(&trusting(&second)).unwrap();
    let mut old = Both::open(&acceptor, &to_first);
    for bad in [&b""[..], b"nonsense", &second.certificate] {
        std::fs::write(&certificate, bad).unwrap();
        let error = acceptor.reload(&config).unwrap_err();
        assert!(error.to_string().contains("chain"), "{error}");
        Both::open(&acceptor, &to_first);
    }
    write(&second);
    acceptor.reload(&config).unwrap();
    Both::open(&acceptor, &to_second);
    let records = seal_all(&mut old.client, &[b"goes on"], 256);
    give(
        &mut old.server,
        &records,
        9,
        &mut old.inbox,
        &mut old.at_server,
    )
    .unwrap();
    assert_eq!(old.at_server.data, b"goes on");
}

#[test]
fn the_name_asked_for_picks_the_certificate() {
    let pairs = [pair_for("one.example"), pair_for("two.example")];
    let acceptor = Acceptor::new(&AcceptorConfig {
        identities: pairs.iter().cloned().map(Identity::Pem).collect(),
        ..AcceptorConfig::default()
    })
    .unwrap();
    for (name, pair) in [("one.example", &pairs[0]), ("two.example", &pairs[1])] {
        let connector = Connector::new(&trusting(pair)).unwrap();
        assert_eq!(
            Both::new(&acceptor, &connector, name).talk(),
            (None, None),
            "{name}"
        );
    }
    // A stranger is shown the first, which is not his.
    let connector = Connector::new(&trusting(&pairs[0])).unwrap();
    let mut both = Both::new(&acceptor, &connector, "three.example");
    let (_, at_client) = both.talk();
    let failure = at_client.unwrap();
    assert!(
        failure.is_wrong_name() && failure.reason() == Reason::Certificate,
        "{failure}"
    );
}

#[test]
fn a_certificate_that_nobody_vouches_for_is_refused_and_the_server_hears_of_it() {
    let (acceptor, _) = made();
    let stranger = Connector::new(&trusting(&pair_for(NAME))).unwrap();
    let (at_server, at_client) = Both::new(&acceptor, &stranger, NAME).talk();
    assert_eq!(at_client.unwrap().reason(), Reason::Certificate);
    assert_eq!(at_server.unwrap().reason(), Reason::Alert);
    let careless = Connector::new(&ConnectorConfig {
        roots: Roots::Insecure,
        ..ConnectorConfig::default()
    });
    let mut both = Both::new(&acceptor, &careless.unwrap(), "any.example");
    assert_eq!(both.talk(), (None, None));
    assert!(both.at_server.handshake.is_some());
}

#[test]
fn no_protocol_in_common_ends_it_for_both() {
    let pair = pair_for(NAME);
    let acceptor = Acceptor::new(&AcceptorConfig::with_pem(&pair)).unwrap();
    let connector = Connector::new(&ConnectorConfig {
        alpn: vec!["h2".to_owned()],
        ..trusting(&pair)
    })
    .unwrap();
    let (at_server, at_client) = Both::new(&acceptor, &connector, NAME).talk();
    assert_eq!(at_server.unwrap().reason(), Reason::Protocol);
    assert_eq!(at_client.unwrap().reason(), Reason::Alert);
}

#[test]
fn the_server_prefers_in_its_own_order() {
    let pair = pair_for(NAME);
    let both_ways = |server: [&str; 2], client: [&str; 2]| {
        let acceptor = Acceptor::new(&AcceptorConfig {
            alpn: server.map(str::to_owned).to_vec(),
            ..AcceptorConfig::with_pem(&pair)
        });
        let connector = Connector::new(&ConnectorConfig {
            alpn: client.map(str::to_owned).to_vec(),
            ..trusting(&pair)
        });
        let both = Both::open(&acceptor.unwrap(), &connector.unwrap());
        both.server.alpn().unwrap().to_vec()
    };
    assert_eq!(both_ways(["h2", "http/1.1"], ["http/1.1", "h2"]), b"h2");
    assert_eq!(
        both_ways(["http/1.1", "h2"], ["h2", "http/1.1"]),
        b"http/1.1"
    );
}

#[test]
fn clients_show_who_they_are_where_that_is_asked() {
    let (server, client, stranger) = (pair_for(NAME), pair_for("client"), pair_for("client"));
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("clients.pem");
    std::fs::write(&path, &client.certificate).unwrap();
    let acceptor = Acceptor::new(&AcceptorConfig {
        client_ca: Some(path),
        ..AcceptorConfig::with_pem(&server)
    })
    .unwrap();
    let with = |identity: Option<&PemPair>| {
        let connector = Connector::new(&ConnectorConfig {
            identity: identity.cloned().map(Identity::Pem),
            ..trusting(&server)
        });
        Both::new(&acceptor, &connector.unwrap(), NAME).talk().0
    };
    assert_eq!(with(Some(&client)), None);
    assert_eq!(with(None).unwrap().reason(), Reason::Certificate);
    assert_eq!(with(Some(&stranger)).unwrap().reason(), Reason::Certificate);
}

#[test]
fn garbage_is_refused_and_stays_refused() {
    let (acceptor, _) = made();
    for (bytes, reason) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], Reason::NotTls),
        (&[0x16, 3, 1, 0xff, 0xff, 1], Reason::Offence),
        (&[0x16, 3, 1, 0, 0], Reason::Offence),
        (&[0x16, 3, 1, 0, 4, 1, 0, 0, 0], Reason::Offence),
        // Data before any handshake.
        (&[0x17, 3, 3, 0, 1, 0], Reason::Offence),
        // An alert: handshake_failure.
        (&[0x15, 3, 3, 0, 2, 2, 40], Reason::Alert),
    ] {
        for step in 1..=bytes.len() {
            let mut server = acceptor.accept().unwrap();
            let (mut inbox, mut got) = (Inbox::default(), Got::default());
            let failure = give(&mut server, bytes, step, &mut inbox, &mut got).unwrap_err();
            assert_eq!(failure.reason(), reason, "{bytes:x?}: {failure}");
            let again = give(&mut server, &[22, 3, 1], 1, &mut inbox, &mut got).unwrap_err();
            assert_eq!(again, failure, "the first failure is the one");
            // RFC 8446 6.2: whoever sends a fatal alert gets none.
            assert_eq!(server.has_output(), reason != Reason::Alert, "{bytes:x?}");
        }
    }
}

/// Versions of SSL 2 and of DTLS: the engine knows them, and reads on.
#[test]
fn a_record_of_another_protocol_ends_it_wherever_it_comes_and_is_cut() {
    let (acceptor, connector) = made();
    let mut hello = Vec::new();
    connector.connect(NAME).unwrap().poll_output(&mut hello);
    for version in [[0, 2], [0xfe, 0xff], [0xfe, 0xfd], [0xfe, 0xfc], [2, 0]] {
        for (first, second) in [(version, [3, 1]), ([3, 1], version)] {
            let mut bytes = vec![22, first[0], first[1], 0, 1, hello[5]];
            let [high, low] = ((hello.len() - 6) as u16).to_be_bytes();
            bytes.extend_from_slice(&[22, second[0], second[1], high, low]);
            bytes.extend_from_slice(&hello[6..]);
            for step in 1..=bytes.len() {
                let mut server = acceptor.accept().unwrap();
                let (mut inbox, mut got) = (Inbox::default(), Got::default());
                let failure = give(&mut server, &bytes, step, &mut inbox, &mut got).err();
                assert_eq!(
                    failure.map(|failure| failure.reason()),
                    Some(Reason::NotTls),
                    "{first:x?}, {second:x?} in steps of {step}"
                );
                assert_eq!(server.spilled_size(), 0);
            }
        }
    }
}

#[test]
fn a_record_changed_on_its_way_is_found_wherever_it_was_changed() {
    let (acceptor, connector) = made();
    // Type and version of a sealed record say nothing (RFC 8446 5.2), and are not part of what is sealed here.
    for place in 3..5 + 12 + 1 + 16 {
        let mut both = Both::open(&acceptor, &connector);
        let mut records = seal_all(&mut both.client, &[b"before"], 256);
        let mut second = seal_all(&mut both.client, &[b"twelve bytes"], 256);
        // A length that became shorter or longer is found, too, when what follows is taken for records.
        second[place] ^= 1;
        records.extend_from_slice(&second);
        records.extend(seal_all(&mut both.client, &[&[0; 600]], 1024));
        let outcome = give(
            &mut both.server,
            &records,
            1000,
            &mut both.inbox,
            &mut both.at_server,
        );
        assert_eq!(both.at_server.data, b"before", "{place}");
        let failure = outcome.unwrap_err();
        assert!(both.server.has_output(), "{place}: {failure}");
    }
}

#[test]
fn a_huge_record_is_refused_before_it_is_read() {
    let (acceptor, connector) = made();
    for (size, is_ok) in [
        (0x4000 + 256, true),
        (0x4000 + 2048, true),
        (0x4000 + 2049, false),
    ] {
        let mut both = Both::open(&acceptor, &connector);
        let [high, low] = u16::to_be_bytes(size);
        let head = [0x17, 3, 3, high, low, 0];
        let outcome = give(
            &mut both.server,
            &head,
            6,
            &mut both.inbox,
            &mut both.at_server,
        );
        assert_eq!(outcome.is_ok(), is_ok, "{size}");
    }
}

#[test]
fn a_hello_in_endless_records_is_bounded() {
    let (acceptor, _) = made();
    let mut server = acceptor.accept().unwrap();
    let (mut inbox, mut got) = (Inbox::default(), Got::default());
    // A hello that says it has 16 MiB, a record of 16 KiB at a time.
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.extend_from_slice(&[1, 0xff, 0xff, 0xff]);
    record.resize(5 + 0x4000, 0);
    let mut given = 0;
    let failure = loop {
        match give(&mut server, &record, record.len(), &mut inbox, &mut got) {
            Ok(()) => given += record.len(),
            Err(failure) => break failure,
        }
        assert!(given <= tls::SPILL_SIZE.max as usize, "{given}");
    };
    assert_eq!(failure.reason(), Reason::Offence, "{failure}");
}

#[test]
fn a_hello_in_tiny_records_is_bounded() {
    let (acceptor, _) = made();
    let mut server = acceptor.accept().unwrap();
    let (mut inbox, mut got) = (Inbox::default(), Got::default());
    // A hello of a legal size, a byte at a time: six bytes are kept of each.
    for byte in [1, 0, 0xff, 0xff] {
        let record = [0x16, 3, 1, 0, 1, byte];
        give(&mut server, &record, 6, &mut inbox, &mut got).unwrap();
    }
    let max = tls::SPILL_SIZE.max as usize;
    let failure = loop {
        let record = [0x16, 3, 1, 0, 1, 0];
        if let Err(failure) = give(&mut server, &record, 6, &mut inbox, &mut got) {
            break failure;
        }
        assert!(server.spilled_size() <= max, "{}", server.spilled_size());
    };
    assert_eq!(failure.reason(), Reason::Offence, "{failure}");
    assert_eq!(server.spilled_size(), 0);
}

#[test]
fn roots_of_the_system_or_a_word_about_their_absence() {
    match Connector::new(&ConnectorConfig::default()) {
        Ok(connector) => assert!(connector.connect("example.org").is_ok()),
        Err(error) => assert!(error.what.contains("system"), "{error}"),
    }
    let (_, connector) = made();
    for (name, is_ok) in [
        ("a.example", true),
        ("127.0.0.1", true),
        ("::1", true),
        ("[::1]", true),
        ("", false),
        ("a b", false),
    ] {
        assert_eq!(connector.connect(name).is_ok(), is_ok, "{name}");
    }
}
