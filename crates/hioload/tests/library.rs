//! The library as its users see it: whatever a signature names has a name here, and a layer needs no more than what it
//! looks at.

mod kit;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use hioload::{
    CloseCode, CloseReason, Handler, Layer, Message, Recovery, Server, Session, Settings,
    WorkerContext, client, config, control, http_client, layer, streams,
};

use kit::Running;

/// A type with this path exists, and is public.
fn is_named<T: ?Sized>() {}

#[test]
fn whatever_a_signature_names_has_a_name_here() {
    is_named::<hioload::ByteSize>();
    is_named::<hioload::ChannelError>();
    is_named::<hioload::Clock>();
    is_named::<hioload::DriverConfig>();
    is_named::<hioload::DriverKind>();
    is_named::<hioload::DurabilitySyntax>();
    is_named::<hioload::Http2Limits>();
    is_named::<hioload::Machine>();
    is_named::<hioload::PlanLine>();
    is_named::<hioload::StartError>();
    is_named::<hioload::Time>();
    is_named::<hioload::serde_json::Value>();
    is_named::<client::EntropyError>();
    is_named::<config::ByteSize>();
    is_named::<config::Limit>();
    is_named::<control::Change<'_, config::ServerConfig>>();
    is_named::<control::Config<config::ServerConfig>>();
    is_named::<control::ConfigError>();
    is_named::<control::Control>();
    is_named::<control::Invalid>();
    is_named::<control::KeyChange>();
    is_named::<control::KeyReport>();
    is_named::<control::Origin>();
    is_named::<control::ProbeError>();
    is_named::<control::Probes>();
    is_named::<control::Problem>();
    is_named::<control::ReloadError>();
    is_named::<control::Report>();
    is_named::<control::Sources>();
    is_named::<http_client::Completion>();
    is_named::<http_client::ConnKey>();
    is_named::<dyn http_client::Driver>();
    is_named::<http_client::Origin>();
    is_named::<http_client::Overlong>();
    is_named::<http_client::SubmitError>();
    is_named::<http_client::UploadMisuse>();
    is_named::<layer::MetricsSnapshot>();
    is_named::<streams::Step>();
}

/// Names every event it is told of.
struct Witness(Arc<Mutex<BTreeSet<&'static str>>>);

impl Witness {
    fn saw(&self, what: &'static str) {
        self.0.lock().expect("whole").insert(what);
    }
}

impl Handler for Witness {
    fn open(&mut self, session: &mut Session<'_>) {
        session.subscribe("a").expect("room");
        self.saw("open");
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        session.send(message).expect("room");
        self.saw("message");
    }

    fn close(&mut self, _: &mut Session<'_>, _: CloseReason) {
        self.saw("close");
    }

    fn recovered(&mut self, _: &mut Session<'_>, _: &str, _: Recovery) {
        self.saw("recovered");
    }

    fn stream(&mut self, _: &mut WorkerContext<'_>, _: &streams::StreamEvent) {
        self.saw("stream");
    }

    fn batch(&mut self, _: &mut WorkerContext<'_>, _: usize) {
        self.saw("batch");
    }
}

/// Looks at nothing.
struct Glass;

struct Glazed(Box<dyn Handler>);

impl Layer for Glass {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(Glazed(inner))
    }
}

impl Handler for Glazed {
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut self.0)
    }
}

#[test]
fn what_a_layer_does_not_look_at_goes_through_it() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let witness = Arc::clone(&seen);
    let mut settings = Settings::default();
    settings.streams.name_all = true;
    let builder = Server::builder().workers(1).settings(settings);
    let builder = builder.layer(Glass).layer(layer::Logging).layer(Glass);
    let mut server = Running::start(builder.handler(move |_| Witness(Arc::clone(&witness))));
    let mut client = server.websocket();
    client.send_text("hello").expect("taken");
    client.recv().expect("an echo");
    client.close(CloseCode::NORMAL, "").expect("an answer");
    drop(client);
    server.wait("gone", |stats| stats.connections == 0);
    server.stop();
    let seen: Vec<_> = seen.lock().expect("whole").iter().copied().collect();
    let all = ["batch", "close", "message", "open", "recovered", "stream"];
    assert_eq!(seen, all);
}
