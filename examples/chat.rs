//! Chat rooms, one for each path. Run with `cargo run --release --example chat`, then connect
//! WebSocket clients to ws://127.0.0.1:9002/lobby, say `/name ada`, and talk.
//!
//! ```text
//!   Recovery ─▶ Logging ─▶ RateLimit ─▶ Names ─▶ Chat
//! ```

use hioload::layer::{Excess, Logging, RateLimit, Recovery};
use hioload::{
    CloseCode, CloseReason, ContextKey, Handler, Layer, Message, Scope, Server, Session,
    SubscribeError,
};

/// Who talks. `Names` writes it, `Chat` reads it.
const NAME: ContextKey<String> = ContextKey::new("chat.name", Scope::Local);

/// Bytes of a name at most.
const NAME_SIZE_MAX: usize = 32;

fn name_of(session: &mut Session<'_>) -> String {
    let now = session.now();
    session
        .context()
        .value(NAME, now)
        .cloned()
        .unwrap_or_else(|| "somebody".to_owned())
}

/// Gives every session a name, and takes `/name NAME` for itself.
struct Names;

impl Layer for Names {
    fn wrap(&self, inner: Box<dyn Handler>) -> Box<dyn Handler> {
        Box::new(Named { inner })
    }
}

struct Named {
    inner: Box<dyn Handler>,
}

impl Named {
    fn rename(session: &mut Session<'_>, name: &str) {
        let is_good =
            !name.is_empty() && name.len() <= NAME_SIZE_MAX && !name.contains(char::is_control);
        let answer = if is_good && session.context().set(NAME, name.to_owned()).is_ok() {
            format!("* you are {name}")
        } else {
            format!("* a name has 1 to {NAME_SIZE_MAX} bytes and no control characters")
        };
        // A refusal means that the session is on its way out, or does not read.
        let _ = session.send(Message::text(&answer));
    }
}

impl Handler for Named {
    // What it does not look at goes there.
    fn inner(&mut self) -> Option<&mut dyn Handler> {
        Some(&mut *self.inner)
    }

    fn open(&mut self, session: &mut Session<'_>) {
        let guest = format!("guest-{}", session.id());
        let _ = session.context().set(NAME, guest);
        self.inner.open(session);
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        match message
            .as_text()
            .and_then(|text| text.strip_prefix("/name "))
        {
            Some(name) => Self::rename(session, name.trim()),
            None => self.inner.message(session, message),
        }
    }
}

/// One instance per worker; what it says about a session is in the session's context.
struct Chat;

impl Chat {
    /// To everybody else in the session's room, on whatever worker they are.
    fn tell(session: &mut Session<'_>, text: &str) {
        let room = session.path().to_owned();
        let _ = session.publish(&room, Message::text(text));
    }
}

impl Handler for Chat {
    fn open(&mut self, session: &mut Session<'_>) {
        let room = session.path().to_owned();
        match session.subscribe(&room) {
            Ok(()) => {}
            Err(SubscribeError::Channel(error)) => {
                return session.close(CloseCode::POLICY, &error.to_string());
            }
            Err(error) => return session.close(CloseCode::TRY_AGAIN, &error.to_string()),
        }
        let name = name_of(session);
        let _ = session.send(Message::text(&format!("* welcome to {room}, {name}")));
        Self::tell(session, &format!("* {name} is here"));
    }

    fn message(&mut self, session: &mut Session<'_>, message: Message<'_>) {
        let Some(text) = message.as_text() else {
            return session.close(CloseCode::UNSUPPORTED, "text only");
        };
        let name = name_of(session);
        Self::tell(session, &format!("{name}: {text}"));
    }

    fn close(&mut self, session: &mut Session<'_>, _reason: CloseReason) {
        let name = name_of(session);
        Self::tell(session, &format!("* {name} has left"));
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    let addr = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "127.0.0.1:9002".to_owned());
    let server = Server::builder()
        .addr(addr.parse()?)
        .layer(Recovery)
        .layer(Logging)
        .layer(RateLimit::new(5, 20).excess(Excess::Drop))
        .layer(Names)
        .handler(|_worker| Chat)
        .build()?;
    println!("listening on {}", server.local_addr());
    server.run()?;
    Ok(())
}
