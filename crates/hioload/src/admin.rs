//! The admin listener: health, figures, probes and the settings in effect, over HTTP/1.1.
//!
//! ```text
//!   GET /healthz  200 ok | 503 draining      GET /debug/probes        names
//!   GET /stats    figures as JSON            GET /debug/probes/NAME   what one shows
//!   GET /metrics  OpenMetrics text           GET /debug/config        settings and their origin
//!   GET /streams  streams, by filters        DELETE /streams/UID      closes one
//! ```
//!
//! Must not know workers: everything comes from [`Control`]. It runs on a thread of its own with its
//! own small runtime, so that nothing an operator asks for is in the way of a session. Read only but for
//! streams, no secrets, and no authentication: bind it to loopback or to a network of operators.
//!
//! Limits: [`CONNECTIONS_MAX`] at a time (others wait in the kernel's queue), one request each, within
//! [`CONNECTION_TIMEOUT`]; probes within [`ANSWER_TIMEOUT`] on [`HELPERS_MAX`] helper threads.

mod streams;

use std::convert::Infallible;
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hioload_control::{OPEN_METRICS_CONTENT_TYPE, ProbeError};
use hioload_reactor::{ListenSpec, StartError, listen_socket};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::{Semaphore, oneshot};

use crate::control::Control;

/// Connections at a time.
pub const CONNECTIONS_MAX: usize = 32;
/// How long one connection may last, its request head included.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);
/// How long an answer may take to be made.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Threads that make answers which may take long.
pub const HELPERS_MAX: usize = 4;
/// After a failed accept: descriptors have run out, which takes a while to pass.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

const TEXT: &str = "text/plain; charset=utf-8";
const JSON: &str = "application/json";

const INDEX: &str = "\
/healthz            ok, or draining (503)
/stats              figures as JSON
/metrics            figures as OpenMetrics text
/debug/probes       names of probes
/debug/probes/NAME  what a probe shows
/debug/config       settings in effect, and where each was set
/streams            streams: ?kind= &peer= &idle= &autonomous= &named= &limit=
/streams/stat       counters of streams
/streams/UID        DELETE closes the stream
";

/// A listener that answers until it is dropped.
///
/// ```
/// use hioload::Server;
/// use hioload::admin::Admin;
///
/// let server = Server::builder().addr("127.0.0.1:0".parse()?).workers(1).build()?;
/// let admin = Admin::start("127.0.0.1:0".parse()?, server.control())?;
/// println!("http://{}/healthz", admin.local_addr());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Admin {
    addr: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("addr", &self.addr)
            .finish_non_exhaustive()
    }
}

impl Admin {
    /// Binds the listener and starts its thread.
    ///
    /// # Errors
    /// When the address is taken or no thread can be had: what, why, and what to do.
    pub fn start(addr: SocketAddr, control: Control) -> Result<Self, StartError> {
        let listener = bind(addr)?;
        let addr = listener.local_addr().unwrap_or(addr);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(HELPERS_MAX)
            .build()
            .map_err(|error| no_thread(&error))?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name("hioload-admin".to_owned())
            .spawn(move || run(runtime, listener, control, stopped))
            .map_err(|error| no_thread(&error))?;
        Ok(Self {
            addr,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // Its panic has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

fn bind(addr: SocketAddr) -> Result<TcpListener, StartError> {
    let spec = ListenSpec {
        backlog: 128,
        share_port: false,
        ..ListenSpec::new(addr)
    };
    listen_socket(&spec)
        .map(TcpListener::from)
        .map_err(|error| StartError {
            what: format!("the admin listener {}", error.what),
            remedy: error.remedy.replace("--addr", "--admin, or `--admin off`"),
            ..error
        })
}

fn no_thread(error: &std::io::Error) -> StartError {
    StartError {
        what: "cannot start the admin listener".to_owned(),
        cause: error.to_string(),
        remedy:
            "Raise the limits of threads and descriptors (`ulimit -u -n`), or use `--admin off`"
                .to_owned(),
        errno: error.raw_os_error(),
    }
}

/// The thread: serves until the other end of `stopped` is gone.
fn run(runtime: Runtime, listener: TcpListener, control: Control, stopped: oneshot::Receiver<()>) {
    runtime.block_on(async {
        match tokio::net::TcpListener::from_std(listener) {
            Ok(listener) => drop(tokio::spawn(accept(listener, control))),
            Err(error) => tracing::error!("the admin listener ended: {error}"),
        }
        let _ = stopped.await;
    });
    // A probe that hangs must not keep anybody waiting.
    runtime.shutdown_background();
}

async fn accept(listener: tokio::net::TcpListener, control: Control) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else {
            return;
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::debug!("admin: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let control = control.clone();
        tokio::spawn(async move {
            let service = service_fn(|request| respond(request, control.clone()));
            let connection = http1::Builder::new()
                .keep_alive(false)
                .timer(TokioTimer::new())
                .header_read_timeout(CONNECTION_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service);
            // A peer that is too slow or broken is its own fault.
            let _ = tokio::time::timeout(CONNECTION_TIMEOUT, connection).await;
            drop(permit);
        });
    }
}

async fn respond(
    request: Request<Incoming>,
    control: Control,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let query = request.uri().query().unwrap_or_default().to_owned();
    let (is_allowed, allow) = match uid_of(&path) {
        Some(_) => (request.method() == Method::DELETE, "DELETE"),
        None => (
            [Method::GET, Method::HEAD].contains(request.method()),
            "GET, HEAD",
        ),
    };
    if !is_allowed {
        let why = format!("only {allow} is served here\n");
        let mut response = Answer::text(StatusCode::METHOD_NOT_ALLOWED, why).into_response();
        let headers = response.headers_mut();
        headers.insert(ALLOW, HeaderValue::from_static(allow));
        return Ok(response);
    }
    // Health must be told even when every helper hangs in a probe.
    if path == "/healthz" {
        return Ok(health(&control).into_response());
    }
    let making = tokio::task::spawn_blocking(move || match uid_of(&path) {
        Some(uid) => streams::close(&control, uid),
        None => answer(&control, &path, &query),
    });
    let answer = match tokio::time::timeout(ANSWER_TIMEOUT, making).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Answer::text(
            StatusCode::INTERNAL_SERVER_ERROR,
            "making the answer failed; see the log\n",
        ),
        Err(_) => Answer::text(StatusCode::GATEWAY_TIMEOUT, "the answer takes too long\n"),
    };
    Ok(answer.into_response())
}

/// The stream that a path names; all others are pages.
fn uid_of(path: &str) -> Option<&str> {
    path.strip_prefix("/streams/").filter(|uid| *uid != "stat")
}

/// A response without its HTTP.
#[derive(Debug, PartialEq)]
struct Answer {
    status: StatusCode,
    content_type: &'static str,
    body: String,
}

impl Answer {
    fn text(status: StatusCode, body: impl Into<String>) -> Self {
        Self {
            status,
            content_type: TEXT,
            body: body.into(),
        }
    }

    fn json(body: &Value) -> Self {
        Self {
            status: StatusCode::OK,
            content_type: JSON,
            body: format!("{body:#}\n"),
        }
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from(self.body)));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        response
    }
}

fn health(control: &Control) -> Answer {
    if control.is_draining() {
        Answer::text(StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        Answer::text(StatusCode::OK, "ok\n")
    }
}

fn answer(control: &Control, path: &str, query: &str) -> Answer {
    match path {
        "/" => Answer::text(StatusCode::OK, INDEX),
        "/stats" => Answer::json(&control.stats()),
        "/metrics" => Answer {
            status: StatusCode::OK,
            content_type: OPEN_METRICS_CONTENT_TYPE,
            body: control.metrics(),
        },
        "/debug/probes" => Answer::json(&json!({ "probes": control.probes().names() })),
        "/debug/config" => Answer::json(&control.config_json()),
        "/streams" => streams::list(control, query),
        "/streams/stat" => streams::stat(control),
        path => match path.strip_prefix("/debug/probes/") {
            Some(name) => probe(control, name),
            None => Answer::text(
                StatusCode::NOT_FOUND,
                format!("there is no such page; these are served:\n{INDEX}"),
            ),
        },
    }
}

fn probe(control: &Control, name: &str) -> Answer {
    match control.probes().run(name) {
        Ok(value) => Answer::json(&value),
        Err(error @ ProbeError::Panicked(_)) => {
            Answer::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n"))
        }
        Err(error) => Answer::text(StatusCode::NOT_FOUND, format!("{error}\n")),
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::net::TcpStream;
    use std::sync::mpsc;

    use super::*;
    use crate::{DriverChoice, Server};

    const ANY: &str = "127.0.0.1:0";

    fn server() -> Server {
        let builder = Server::builder()
            .addr(ANY.parse().expect("an address"))
            .workers(1);
        builder
            .driver(DriverChoice::Poll)
            .memory(80 << 20)
            .build()
            .expect("a server")
    }

    fn ask(addr: SocketAddr, request: &str) -> String {
        let mut stream = TcpStream::connect(addr).expect("the admin listener");
        stream.write_all(request.as_bytes()).expect("a request");
        let mut response = String::new();
        stream
            .read_to_string(&mut response)
            .expect("a response, and its end");
        response
    }

    fn get(addr: SocketAddr, path: &str) -> String {
        ask(addr, &format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n"))
    }

    #[test]
    fn every_page_answers() {
        let server = server();
        let control = server.control();
        control
            .register_probe("seven", || json!(7))
            .expect("a free name");
        control
            .register_probe("broken", || panic!("on purpose"))
            .expect("a free name");
        let admin =
            Admin::start(ANY.parse().expect("an address"), control.clone()).expect("a port");
        let addr = admin.local_addr();
        for (path, status, part) in [
            ("/", "200 OK", "/healthz"),
            ("/healthz", "200 OK", "ok\n"),
            ("/stats", "200 OK", "\"by_worker\""),
            ("/metrics", "200 OK", "# EOF\n"),
            ("/debug/probes", "200 OK", "\"seven\""),
            ("/debug/probes/seven", "200 OK", "7\n"),
            (
                "/debug/probes/eight",
                "404 Not Found",
                "there is no probe \"eight\"",
            ),
            (
                "/debug/probes/broken",
                "500 Internal Server Error",
                "on purpose",
            ),
            ("/debug/config", "200 OK", "null\n"),
            ("/streams?kind=x", "400 Bad Request", "kind=x"),
            ("/elsewhere", "404 Not Found", "these are served"),
        ] {
            let response = get(addr, path);
            assert!(
                response.starts_with(&format!("HTTP/1.1 {status}")),
                "{path}: {response}"
            );
            assert!(response.contains(part), "{path}: {response}");
            assert!(
                response.contains("cache-control: no-store"),
                "{path}: {response}"
            );
        }
        let head = ask(addr, "HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
        assert!(
            head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"),
            "{head}"
        );
        let post = ask(
            addr,
            "POST /stats HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
        );
        assert!(
            post.starts_with("HTTP/1.1 405") && post.contains("allow: GET, HEAD"),
            "{post}"
        );
        for (request, allow) in [
            ("POST /streams/1", "DELETE"),
            ("GET /streams/1", "DELETE"),
            ("DELETE /streams/stat", "GET, HEAD"),
            ("DELETE /streams", "GET, HEAD"),
        ] {
            let refused = ask(addr, &format!("{request} HTTP/1.1\r\nHost: x\r\n\r\n"));
            let told = format!("allow: {allow}\r\n");
            assert!(
                refused.starts_with("HTTP/1.1 405") && refused.contains(&told),
                "{request}: {refused}"
            );
        }
        assert!(ask(addr, "nonsense\r\n\r\n").starts_with("HTTP/1.1 400"));
        control.shutdown();
        let health = get(addr, "/healthz");
        assert!(
            health.starts_with("HTTP/1.1 503") && health.ends_with("draining\n"),
            "{health}"
        );
    }

    #[test]
    fn health_is_told_while_probes_hang() {
        let server = server();
        let control = server.control();
        let (release, released) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let (released, begun) = (
            std::sync::Mutex::new(released),
            std::sync::Mutex::new(begun),
        );
        let hang = move || {
            let _ = begun.lock().expect("no panic").send(());
            let _ = released.lock().expect("no panic").recv();
            json!(null)
        };
        control.register_probe("hang", hang).expect("a free name");
        let admin = Admin::start(ANY.parse().expect("an address"), control).expect("a port");
        let mut waiting = TcpStream::connect(admin.local_addr()).expect("the admin listener");
        waiting
            .write_all(b"GET /debug/probes/hang HTTP/1.1\r\nHost: x\r\n\r\n")
            .expect("a request");
        begins.recv().expect("the probe began");
        assert!(get(admin.local_addr(), "/healthz").starts_with("HTTP/1.1 200"));
        drop(admin);
        drop(release);
    }

    #[test]
    fn idle_connections_do_not_shut_others_out() {
        let server = server();
        let admin =
            Admin::start(ANY.parse().expect("an address"), server.control()).expect("a port");
        let idle: Vec<_> = (1..CONNECTIONS_MAX)
            .map(|_| TcpStream::connect(admin.local_addr()).expect("the admin listener"))
            .collect();
        assert!(get(admin.local_addr(), "/healthz").starts_with("HTTP/1.1 200"));
        drop(idle);
    }

    #[test]
    fn a_port_in_use_is_told_with_a_remedy() {
        let taken = TcpListener::bind(ANY).expect("a port");
        let addr = taken.local_addr().expect("bound");
        let refusal = Admin::start(addr, server().control())
            .expect_err("in use")
            .to_string();
        for part in [
            "the admin listener cannot listen on",
            "already",
            "--admin off",
        ] {
            assert!(refusal.contains(part), "{part} is not in: {refusal}");
        }
    }
}
