//! A server that speaks TLS, and clients of it, over sockets: on each driver of this machine.

#![expect(clippy::unwrap_used, reason = "a test says no more by expect")]

mod kit;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

use hioload::client::{Client, ClientBuilder, ClientError, Incoming};
use hioload::config::ServerConfig;
use hioload::tls::{self, Connector, ConnectorConfig, Identity, PemPair, Reason, Roots};
use hioload::{
    Broadcast, CloseCode, Echo, HttpClient, ReloadError, Server, ServerBuilder, Settings, TlsConfig,
};

use hioload_control::{Config, Sources};
use kit::{PATIENCE, Running, on_each_driver};

fn start(builder: ServerBuilder) -> Running {
    Running::start(builder.workers(1))
}

fn url(server: &Running) -> String {
    format!("wss://localhost:{}/", server.addr.port())
}

fn pair() -> PemPair {
    tls::self_signed(&["localhost".to_owned()]).unwrap()
}

fn serving(pair: &PemPair) -> ServerBuilder {
    let tls = TlsConfig::new(vec![Identity::Pem(pair.clone())]);
    Server::builder().tls(Some(tls)).handler(|_| Echo)
}

fn connector(pair: &PemPair) -> Connector {
    let config = ConnectorConfig {
        roots: Roots::Pem(pair.certificate.clone()),
        ..ConnectorConfig::default()
    };
    Connector::new(&config).unwrap()
}

fn trusting(pair: &PemPair) -> ClientBuilder {
    Client::builder()
        .connector(connector(pair))
        .read_timeout(Some(PATIENCE))
        .handshake_timeout(PATIENCE)
}

#[test]
fn messages_of_all_sizes_come_back() {
    let pair = pair();
    on_each_driver(|driver| {
        let server = start(serving(&pair).driver(driver));
        let mut client = trusting(&pair).connect(&url(&server)).unwrap();
        for size in [
            0,
            1,
            125,
            126,
            1024,
            16_383,
            16_384,
            16_385,
            70_000,
            1 << 20,
        ] {
            let payload: Vec<u8> = (0..size).map(|place| (place * 7) as u8).collect();
            client.send_binary(&payload).unwrap();
            assert_eq!(
                client.recv().unwrap(),
                Some(Incoming::Binary(payload)),
                "{size}"
            );
        }
        for round in 0..1000 {
            client.send_text(&round.to_string()).unwrap();
        }
        for round in 0..1000 {
            assert_eq!(
                client.recv().unwrap(),
                Some(Incoming::Text(round.to_string()))
            );
        }
        let closing = client.close(CloseCode::NORMAL, "").unwrap();
        assert_eq!(closing.code, CloseCode::NORMAL);
        drop(client);
        let stats = server.wait("gone", |stats| {
            stats.connections == 0 && stats.accepted == 1
        });
        assert_eq!(
            (stats.tls_handshakes, stats.tls_resumed, stats.tls_sessions),
            (1, 0, 0)
        );
    });
}

#[test]
fn a_publication_reaches_clients_in_clear_and_secure_ones() {
    let pair = pair();
    on_each_driver(|driver| {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let builder = serving(&pair).driver(driver).addr_clear(Some(any));
        let server = start(builder.handler(|_| Broadcast::default()));
        let clear = format!("ws://{}/", server.addr_clear.unwrap());
        let patient = || Client::builder().read_timeout(Some(PATIENCE));
        let mut readers: Vec<_> = (0..3)
            .map(|_| trusting(&pair).connect(&url(&server)).unwrap())
            .collect();
        readers.push(patient().connect(&clear).unwrap());
        let mut writers = [
            trusting(&pair).connect(&url(&server)).unwrap(),
            patient().connect(&clear).unwrap(),
        ];
        server.wait("all are there", |stats| stats.subscriptions == 6);
        for round in 0..100_usize {
            let payload = vec![round as u8; round * 997];
            writers[round % 2].send_binary(&payload).unwrap();
            for reader in &mut readers {
                assert_eq!(
                    reader.recv().unwrap(),
                    Some(Incoming::Binary(payload.clone()))
                );
            }
            // The other writer hears it, too.
            let other = &mut writers[(round + 1) % 2];
            assert_eq!(other.recv().unwrap(), Some(Incoming::Binary(payload)));
        }
        let stats = server.wait("counted", |stats| stats.tls_sessions == 4);
        assert_eq!(stats.sessions, 6);
    });
}

/// A reader that takes nothing for a while holds publishers back, and misses nothing.
#[test]
fn a_slow_reader_gets_everything_in_order() {
    let pair = pair();
    on_each_driver(|driver| {
        let builder = serving(&pair).driver(driver);
        let server = start(builder.handler(|_| Broadcast::default()));
        let mut reader = trusting(&pair).connect(&url(&server)).unwrap();
        let mut writer = trusting(&pair).connect(&url(&server)).unwrap();
        server.wait("both are there", |stats| stats.subscriptions == 2);
        let count = 3000_u32;
        let writing = std::thread::spawn(move || {
            for round in 0..count {
                let mut payload = vec![0; 5000];
                payload[..4].copy_from_slice(&round.to_be_bytes());
                writer.send_binary(&payload).unwrap();
            }
            writer
        });
        server.wait("it lags", |stats| stats.publications > 500);
        for round in 0..count {
            let Some(Incoming::Binary(payload)) = reader.recv().unwrap() else {
                panic!("{round}")
            };
            assert_eq!(payload[..4], round.to_be_bytes());
        }
        drop(writing.join().unwrap());
    });
}

#[test]
fn whoever_comes_back_resumes() {
    let pair = pair();
    let server = start(serving(&pair));
    let connector = connector(&pair);
    for _ in 0..3 {
        let builder = Client::builder().connector(connector.clone());
        let mut client = builder
            .read_timeout(Some(PATIENCE))
            .connect(&url(&server))
            .unwrap();
        client.send_text("ticket, please").unwrap();
        client.recv().unwrap();
        client.close(CloseCode::NORMAL, "").unwrap();
    }
    let stats = server.wait("three", |stats| stats.tls_handshakes == 3);
    assert_eq!(stats.tls_resumed, 2);
}

#[test]
fn every_way_to_fail_is_counted_by_its_reason() {
    let pair = pair();
    on_each_driver(|driver| {
        let server = start(serving(&pair).driver(driver));
        // Clear HTTP on the port of TLS: an alert, then the end.
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
            .write_all(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n")
            .unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!((answer[0], answer.len()), (21, 7), "one alert");
        server.wait("not TLS", |stats| stats.tls_failed_not_tls == 1);
        drop(socket);
        // Somebody else's certificate expected.
        let refused = trusting(&tls::self_signed(&["localhost".to_owned()]).unwrap());
        let error = refused.connect(&url(&server)).expect_err("a stranger");
        assert!(
            matches!(&error, ClientError::Tls(failure) if failure.reason() == Reason::Certificate),
            "{error}"
        );
        server.wait("refused", |stats| stats.tls_failed_alert == 1);
        // Gone in the middle of the handshake.
        let mut session = connector(&pair).connect("localhost").unwrap();
        let mut hello = Vec::new();
        session.poll_output(&mut hello);
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.write_all(&hello[..hello.len() / 2]).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        server.wait("cut off", |stats| stats.tls_failed_truncated == 1);
        drop(socket);
        server.wait("all gone", |stats| {
            stats.connections == 0 && stats.tls_sessions == 0
        });
        // The others are served as ever.
        let mut client = trusting(&pair).connect(&url(&server)).unwrap();
        client.send_text("still there?").unwrap();
        assert!(client.recv().unwrap().is_some());
    });
}

#[test]
fn a_handshake_that_does_not_come_to_its_end_is_ended() {
    let settings = Settings {
        handshake_timeout: Duration::from_millis(50),
        ..Settings::default()
    };
    let server = start(serving(&pair()).settings(settings));
    let mut socket = TcpStream::connect(server.addr).unwrap();
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.write_all(&[0x16, 3, 1]).unwrap();
    let mut answer = Vec::new();
    socket.read_to_end(&mut answer).unwrap();
    assert!(answer.is_empty(), "nothing in clear");
    server.wait("late", |stats| stats.tls_failed_timed_out == 1);
}

/// Records that never become whole count like all input that is coming in.
#[test]
fn records_in_pieces_are_bounded_over_all_connections() {
    let settings = Settings {
        assembly_max: 100_000,
        handshake_timeout: PATIENCE,
        ..Settings::default()
    };
    let pair = pair();
    let server = start(serving(&pair).settings(settings));
    let mut record = vec![0x16, 3, 1, 0x40, 0];
    record.resize(16_000, 0);
    let mut sockets = Vec::new();
    for count in 1..=6 {
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.write_all(&record).unwrap();
        sockets.push(socket);
        server.wait("kept", |stats| stats.assembly_size == count * 16_000);
    }
    let mut socket = TcpStream::connect(server.addr).unwrap();
    socket.write_all(&record).unwrap();
    server.wait("one too many", |stats| {
        stats.no_memory == 1 && stats.connections == 6
    });
    drop((sockets, socket));
    server.wait("all given back", |stats| {
        stats.assembly_size == 0 && stats.connections == 0
    });
}

#[test]
fn the_end_is_told_before_the_fin() {
    let pair = pair();
    on_each_driver(|driver| {
        let server = start(serving(&pair).driver(driver));
        let mut session = connector(&pair).connect("localhost").unwrap();
        let mut socket = TcpStream::connect(server.addr).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let (mut inbox, mut plain, mut is_asked) = (tls::Inbox::default(), Vec::new(), false);
        let mut is_closed = false;
        loop {
            let mut out = Vec::new();
            session.poll_output(&mut out);
            if !session.is_handshaking() && !is_asked {
                is_asked = true;
                let mut records = [0; 256];
                let request = &b"BAD REQUEST\r\n\r\n"[..];
                let sealed = session.encrypt([request], &mut Vec::new(), &mut records);
                out.extend_from_slice(&records[..sealed.unwrap().cipher]);
            }
            socket.write_all(&out).unwrap();
            let mut buffer = [0; 4096];
            let size = loop {
                match socket.read(&mut buffer) {
                    // A ring of this thread has work to do in between.
                    Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                    size => break size.unwrap(),
                }
            };
            if size == 0 {
                break;
            }
            let mut input = &mut buffer[..size];
            while let Some(event) = session.handle_input(&mut input, &mut inbox).unwrap() {
                match event {
                    tls::Event::Data(bytes) => plain.extend_from_slice(bytes),
                    tls::Event::Closed => is_closed = true,
                    tls::Event::Handshake(_) => {}
                }
            }
        }
        let answer = String::from_utf8(plain).unwrap();
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        assert!(
            is_closed && session.handle_eof().is_ok(),
            "close_notify, then FIN"
        );
    });
}

#[test]
fn certificates_are_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let (certificate, key) = (directory.path().join("chain"), directory.path().join("key"));
    let write = |pair: &PemPair| {
        std::fs::write(&certificate, &pair.certificate).unwrap();
        std::fs::write(&key, &pair.key).unwrap();
    };
    let (first, second) = (pair(), pair());
    write(&first);
    let files = |certificate: &PathBuf, key: &PathBuf| Identity::Files {
        certificate: certificate.clone(),
        key: key.clone(),
    };
    let config = TlsConfig::new(vec![files(&certificate, &key)]);
    let builder = Server::builder().tls(Some(config.clone()));
    let server = start(builder.handler(|_| Echo));
    let mut old = trusting(&first).connect(&url(&server)).unwrap();
    std::fs::write(&key, "nonsense").unwrap();
    let error = server
        .control
        .reload_certificates(Some(&config))
        .unwrap_err();
    assert!(error.what.contains("no private key"), "{error}");
    drop(trusting(&first).connect(&url(&server)).unwrap());
    write(&second);
    server.control.reload_certificates(Some(&config)).unwrap();
    assert!(trusting(&first).connect(&url(&server)).is_err());
    drop(trusting(&second).connect(&url(&server)).unwrap());
    old.send_text("goes on").unwrap();
    assert_eq!(
        old.recv().unwrap(),
        Some(Incoming::Text("goes on".to_owned()))
    );
    assert!(server.control.reload_certificates(None).is_err());
}

#[test]
fn a_certificate_that_cannot_be_used_refuses_the_whole_reload() {
    let directory = tempfile::tempdir().unwrap();
    let (pem, toml) = (directory.path().join("pem"), directory.path().join("toml"));
    let write = |pair: &PemPair, size_max: u32| {
        std::fs::write(&pem, [&pair.certificate[..], &pair.key].concat()).unwrap();
        let text = format!("[ws]\nmessage_size_max = {size_max}\n[blocks]\ndata = \"off\"\n");
        std::fs::write(&toml, text).unwrap();
    };
    let (first, second) = (pair(), pair());
    let no_key = PemPair {
        key: Vec::new(),
        ..second.clone()
    };
    write(&first, 1000);
    let sources = Sources::new()
        .file(&toml)
        .flag("--tls", "tls.pair", pem.display().to_string());
    let config = Config::<ServerConfig>::load(sources).unwrap();
    let server = start(Server::builder().config(&config).handler(|_| Echo));
    let size_max = || server.control.settings().ws.message_size_max;
    write(&no_key, 2000);
    let error = server.control.reload().unwrap_err();
    assert!(matches!(error, ReloadError::Certificates(_)), "{error}");
    assert_eq!((size_max(), config.version()), (1000, 1));
    assert_eq!(config.current().ws.message_size_max.bytes(), 1000);
    let told = &server.control.config_json()["last_reload"]["refused"][0];
    assert_eq!(told.as_str(), Some(error.to_string().as_str()));
    drop(trusting(&first).connect(&url(&server)).unwrap());
    // The same settings with a pair that fits: all of it is in effect.
    write(&second, 2000);
    let report = server.control.reload().unwrap();
    assert_eq!((size_max(), report.version), (2000, 2));
    drop(trusting(&second).connect(&url(&server)).unwrap());
}

#[test]
fn events_are_read_over_both_versions_of_http() {
    let pair = pair();
    on_each_driver(|driver| {
        let tls = TlsConfig::new(vec![Identity::Pem(pair.clone())]);
        let builder = Server::builder().tls(Some(tls));
        let server = start(builder.driver(driver).handler(|_| Broadcast::default()));
        let mut writer = trusting(&pair).connect(&url(&server)).unwrap();
        let url = format!("https://localhost:{}/", server.addr.port());
        for is_http2 in [true, false] {
            let builder = HttpClient::builder().roots(Roots::Pem(pair.certificate.clone()));
            let builder = if is_http2 {
                builder
            } else {
                builder.http1_only()
            };
            let mut events = builder.build().unwrap().events(&url, "").unwrap();
            assert!(events.connect().unwrap());
            server.wait("a reader", |stats| {
                stats.event_streams == 1 && (stats.h2_streams > 0) == is_http2
            });
            writer.send_text("hello").unwrap();
            assert_eq!(events.next_event().unwrap().unwrap().data, "hello");
            drop(events);
            server.wait("no reader", |stats| stats.event_streams == 0);
        }
    });
}
