//! What an idle session holds: figures of the memory plan rest on it. Alone in its binary: the allocator counts
//! for all.

#![expect(clippy::unwrap_used, reason = "a test says no more by expect")]

use std::alloc::System;

use hioload_net::tls::{
    self, Acceptor, AcceptorConfig, Connector, ConnectorConfig, Inbox, Roots, SESSION_SIZE, Session,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

fn pass(from: &mut Session, to: &mut Session, inbox: &mut Inbox) {
    let mut records = Vec::new();
    from.poll_output(&mut records);
    let mut input = &mut records[..];
    while to.handle_input(&mut input, inbox).unwrap().is_some() {}
}

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated - change.bytes_deallocated
}

#[test]
fn an_idle_session_holds_no_more_than_the_plan_says() {
    let pair = tls::self_signed(&["server.example".to_owned()]).unwrap();
    let acceptor = Acceptor::new(&AcceptorConfig::with_pem(&pair)).unwrap();
    let connector = Connector::new(&ConnectorConfig {
        roots: Roots::Pem(pair.certificate),
        ..ConnectorConfig::default()
    });
    let connector = connector.unwrap();
    let mut inbox = Inbox::default();
    let mut open = |count: usize| {
        let mut servers = Vec::with_capacity(count);
        for _ in 0..count {
            let mut client = connector.connect("server.example").unwrap();
            let mut server = acceptor.accept().unwrap();
            for _ in 0..3 {
                pass(&mut client, &mut server, &mut inbox);
                pass(&mut server, &mut client, &mut inbox);
            }
            let mut records = [0; 256];
            let sealed = client.encrypt([&b"hello"[..]], &mut Vec::new(), &mut records);
            let mut input = &mut records[..sealed.unwrap().cipher];
            while server
                .handle_input(&mut input, &mut inbox)
                .unwrap()
                .is_some()
            {}
            servers.push(Box::new(server));
        }
        servers
    };
    // What all sessions share is there before the count.
    drop(open(3));
    let region = Region::new(ALLOCATOR);
    let servers = open(100);
    let each = held(&region) / servers.len();
    println!(
        "{each} bytes each, {} of them the session itself",
        size_of::<Session>()
    );
    assert!(each <= SESSION_SIZE, "{each} bytes");
    assert!(
        each > SESSION_SIZE / 2,
        "{each} bytes: the plan asks for too much"
    );
}
