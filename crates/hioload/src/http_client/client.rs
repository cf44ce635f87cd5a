//! A client that waits: [`HttpClient`], what it is made of, and its calls.
//!
//! Any thread may ask; all share one pool of connections, on the client's own thread.

use std::fmt;
use std::io::{self, Read};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hioload_http::client::{
    Config, Head, Limits, Method, Offer, Progress, RedirectPolicy, Request, RequestBody, Url,
};
use hioload_net::tls::{Identity, Roots};

use super::call::{CallCell, CallState, UPLOAD_AHEAD};
use super::error::HttpError;
use super::thread::{CallId, Command};
use super::threads::Threads;
use super::trust::Trust;

/// Bytes of a body read at a time.
const UPLOAD_PIECE: usize = 16 << 10;

/// Bytes of an answer that are read before the peer is told that there is room for more.
const CONSUMED_STEP: usize = 32 << 10;

/// What a client is to be like. Made by [`HttpClient::builder`].
#[derive(Clone, Debug, Default)]
pub struct HttpClientBuilder {
    config: Config,
    roots: Roots,
    identity: Option<Identity>,
    threads: usize,
}

impl HttpClientBuilder {
    /// Limits and time-outs of everything.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limits = limits;
        self
    }

    /// How long a connection may take to stand, TLS included. 20 seconds unless told.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.connect_timeout = timeout;
        self
    }

    /// How long a server may leave us waiting: for the whole head, and for each part of the body. 5 seconds unless
    /// told.
    #[must_use]
    pub fn read_timeout(mut self, timeout: Duration) -> Self {
        self.config.limits.read_timeout = timeout;
        self
    }

    /// How long a request may take in all, redirects included. As long as it takes, unless told.
    #[must_use]
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.config.total_timeout = Some(timeout);
        self
    }

    /// Which redirects are followed: five, and not from `https` to `http`, unless told.
    #[must_use]
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.config.redirects = policy;
        self
    }

    /// In clear, HTTP/2 is spoken at once: the server is known to take it (RFC 9113 3.3).
    #[must_use]
    pub fn http2_prior_knowledge(mut self) -> Self {
        self.config.clear = Offer::Http2;
        self
    }

    /// HTTP/2 is not offered over TLS.
    #[must_use]
    pub fn http1_only(mut self) -> Self {
        self.config.clear = Offer::Http1;
        self.config.tls = Offer::Http1;
        self
    }

    /// `User-Agent`; empty for none.
    #[must_use]
    pub fn user_agent(mut self, name: impl Into<String>) -> Self {
        self.config.user_agent = name.into();
        self
    }

    /// Whom TLS believes: the system's authorities, unless told.
    #[must_use]
    pub fn roots(mut self, roots: Roots) -> Self {
        self.roots = roots;
        self
    }

    /// Who this client is, for servers that ask.
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.identity = Some(identity);
        self
    }

    /// How many threads the requests are spread over, by how many each has under way: one, unless told. Each has its own
    /// connections, and the limits count for each.
    #[must_use]
    pub fn threads(mut self, count: usize) -> Self {
        self.threads = count;
        self
    }

    /// Starts the client's threads.
    ///
    /// # Errors
    /// The system gives no thread, or no readiness.
    pub fn build(self) -> Result<HttpClient, HttpError> {
        let trust = || Trust::new(self.roots.clone(), self.identity.clone());
        let threads = Threads::start(self.threads, &self.config, trust)?;
        Ok(HttpClient(Arc::new(threads)))
    }
}

/// An HTTP client: HTTP/1.1 and HTTP/2, in clear and over TLS, with a pool of connections. A clone is the same client.
/// With the last clone, and the last call, it ends: what is under way is cancelled.
///
/// ```no_run
/// use hioload::HttpClient;
///
/// let client = HttpClient::new()?;
/// let answer = client.get("https://example.org/")?;
/// println!("{} {} bytes", answer.status(), answer.body().len());
/// # Ok::<(), hioload::http_client::HttpError>(())
/// ```
#[derive(Clone)]
pub struct HttpClient(Arc<Threads>);

impl HttpClient {
    /// A client as it is unless told otherwise.
    ///
    /// # Errors
    /// As [`HttpClientBuilder::build`].
    pub fn new() -> Result<Self, HttpError> {
        Self::builder().build()
    }

    /// Options, to be filled in.
    #[must_use]
    pub fn builder() -> HttpClientBuilder {
        HttpClientBuilder::default()
    }

    /// GET.
    ///
    /// # Errors
    /// There is no answer. A status of 404 is one.
    pub fn get(&self, url: &str) -> Result<Answer, HttpError> {
        self.send(request(Method::GET, url)?)
    }

    /// HEAD.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn head(&self, url: &str) -> Result<Answer, HttpError> {
        self.send(request(Method::HEAD, url)?)
    }

    /// POST of these bytes.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn post(&self, url: &str, body: impl Into<Vec<u8>>) -> Result<Answer, HttpError> {
        self.send(request(Method::POST, url)?.body(bytes(body)))
    }

    /// PUT of these bytes.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn put(&self, url: &str, body: impl Into<Vec<u8>>) -> Result<Answer, HttpError> {
        self.send(request(Method::PUT, url)?.body(bytes(body)))
    }

    /// DELETE.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn delete(&self, url: &str) -> Result<Answer, HttpError> {
        self.send(request(Method::DELETE, url)?)
    }

    /// Sends a request, and waits for the whole answer.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn send(&self, request: Request) -> Result<Answer, HttpError> {
        self.start(request)?.wait()
    }

    /// Sends a request, and waits for the head of the answer; its body is read as it comes.
    ///
    /// # Errors
    /// As [`HttpClient::get`].
    pub fn open(&self, request: Request) -> Result<AnswerStream, HttpError> {
        self.start(request.streamed())?.wait_head()
    }

    /// Sends a request whose body is read from `source`: so many bytes if its length is given, else all there are. The
    /// body of the request itself does not count.
    ///
    /// # Errors
    /// As [`HttpClient::get`]; `source` fails, or is shorter than was said.
    pub fn upload(
        &self,
        request: Request,
        length: Option<u64>,
        source: &mut dyn Read,
    ) -> Result<Answer, HttpError> {
        self.start_upload(request, length, source)?.wait()
    }

    /// The same, and the answer's body is read as it comes: when all of `source` was sent. A server that answers at
    /// length meanwhile is held back, and if it then takes no more, so is this.
    ///
    /// # Errors
    /// As [`HttpClient::upload`].
    pub fn open_upload(
        &self,
        request: Request,
        length: Option<u64>,
        source: &mut dyn Read,
    ) -> Result<AnswerStream, HttpError> {
        self.start_upload(request.streamed(), length, source)?
            .wait_head()
    }

    fn start_upload(
        &self,
        request: Request,
        length: Option<u64>,
        source: &mut dyn Read,
    ) -> Result<Call, HttpError> {
        let body = length.map_or(RequestBody::Chunked, RequestBody::Stream);
        let call = self.start(request.body(body))?;
        let mut source = source.take(length.unwrap_or(u64::MAX));
        loop {
            let mut piece = vec![0; UPLOAD_PIECE];
            match source.read(&mut piece) {
                Ok(0) => break,
                Ok(size) => piece.truncate(size),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    call.canceller().cancel();
                    return Err(HttpError::Source(error));
                }
            }
            if !call.write(piece)? {
                // It is answered, or has failed: the rest is not wanted.
                return Ok(call);
            }
        }
        call.finish()?;
        Ok(call)
    }

    /// Sends a request, and waits for nothing.
    ///
    /// # Errors
    /// The client has ended.
    pub fn start(&self, request: Request) -> Result<Call, HttpError> {
        let cell = CallCell::new(request.url().clone());
        let thread = self.0.place();
        let id = self.0.next_id(thread);
        let under_way = self.0.handle(thread).under_way();
        let command = Command::Submit(id, Box::new(request), Arc::clone(&cell), under_way);
        self.0.send(thread, command)?;
        Ok(Call {
            client: self.clone(),
            thread,
            id,
            cell,
        })
    }
}

impl HttpClient {
    /// Requests that are under way, by thread.
    #[must_use]
    pub fn call_counts(&self) -> Vec<usize> {
        self.0.call_counts()
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HttpClient")
    }
}

/// A request from a URL as text.
pub(super) fn request(method: Method, url: &str) -> Result<Request, HttpError> {
    let parsed = url.parse().map_err(|fault| HttpError::Url {
        url: url.to_owned(),
        fault,
    })?;
    Ok(Request::new(method, parsed))
}

fn bytes(body: impl Into<Vec<u8>>) -> RequestBody {
    RequestBody::Bytes(body.into().into())
}

/// A request that is under way. Made by [`HttpClient::start`].
#[derive(Debug)]
pub struct Call {
    client: HttpClient,
    /// Of the client's threads the one that has it.
    thread: usize,
    id: CallId,
    pub(super) cell: Arc<CallCell>,
}

impl Call {
    /// Ends the request from any thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        Canceller {
            client: self.client.clone(),
            thread: self.thread,
            id: self.id,
        }
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.cell.lock().progress
    }

    /// Waits for the whole answer. Of a streamed one, all of it is gathered, whatever its length.
    ///
    /// # Errors
    /// There is none.
    pub fn wait(self) -> Result<Answer, HttpError> {
        self.wait_with(|_| {})
    }

    /// The same, and tells how far it has come whenever that changes.
    ///
    /// # Errors
    /// There is no answer.
    pub fn wait_with(self, mut progress: impl FnMut(Progress)) -> Result<Answer, HttpError> {
        let mut told = Progress::default();
        let mut state = self.cell.lock();
        loop {
            let now = state.progress;
            if now != told {
                told = now;
                drop(state);
                progress(now);
                state = self.cell.lock();
                continue;
            }
            if state.is_over() {
                check(&state)?;
                let head = state.head.take().ok_or(HttpError::Over)?;
                return Ok(Answer {
                    head,
                    url: state.url.clone(),
                    redirect_count: state.redirect_count,
                    body: std::mem::take(&mut state.body).into(),
                });
            }
            state = self.cell.wait(state);
        }
    }

    /// Waits for the head of the answer.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn wait_head(self) -> Result<AnswerStream, HttpError> {
        let mut state = self.cell.lock();
        let head = loop {
            if let Some(head) = state.head.take() {
                break head;
            }
            check(&state)?;
            state = self.cell.wait(state);
        };
        let (url, redirect_count) = (state.url.clone(), state.redirect_count);
        drop(state);
        Ok(AnswerStream {
            head,
            url,
            redirect_count,
            call: self,
            used: 0,
        })
    }

    /// Hands over a part of the body, as soon as there is room. False: the request is over.
    ///
    /// # Errors
    /// The body is not as it was announced.
    pub(super) fn write(&self, bytes: Vec<u8>) -> Result<bool, HttpError> {
        let mut state = self.cell.lock();
        loop {
            if let Some(misuse) = state.upload_misuse {
                self.canceller().cancel();
                return Err(HttpError::Upload(misuse));
            }
            // An error is all that is said to it: the rest is not wanted.
            let is_refused = state.head.as_ref().is_some_and(|head| head.status() >= 300);
            if state.is_over() || is_refused {
                return Ok(false);
            }
            if state.upload_waiting < UPLOAD_AHEAD {
                break;
            }
            state = self.cell.wait(state);
        }
        state.upload_waiting += bytes.len();
        drop(state);
        self.client
            .0
            .send(self.thread, Command::Write(self.id, bytes))?;
        Ok(true)
    }

    /// The body is complete.
    pub(super) fn finish(&self) -> Result<(), HttpError> {
        self.client.0.send(self.thread, Command::Finish(self.id))
    }

    fn consumed(&self, size: usize) {
        // A client that has ended reads nothing more.
        let _ = self
            .client
            .0
            .send(self.thread, Command::Consumed(self.id, size));
    }
}

/// Why there is no answer, if there is none.
fn check(state: &CallState) -> Result<(), HttpError> {
    if let Some(misuse) = state.upload_misuse {
        return Err(HttpError::Upload(misuse));
    }
    if let Some(failure) = &state.failure {
        return Err(HttpError::Failed {
            url: state.url.to_string(),
            failure: failure.clone(),
        });
    }
    if state.is_refused {
        return Err(HttpError::Busy(hioload_http::client::SubmitError));
    }
    Ok(())
}

/// Ends a request from any thread.
#[derive(Clone, Debug)]
pub struct Canceller {
    client: HttpClient,
    thread: usize,
    id: CallId,
}

impl Canceller {
    /// Ends it, if it is still under way: whoever waits for it is told.
    pub fn cancel(&self) {
        // A client that has ended has cancelled everything.
        let _ = self.client.0.send(self.thread, Command::Cancel(self.id));
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    head: Head,
    url: Url,
    redirect_count: usize,
    body: Vec<u8>,
}

impl Answer {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it came from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How often it was redirected.
    #[must_use]
    pub fn redirect_count(&self) -> usize {
        self.redirect_count
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Its body, for good.
    #[must_use]
    pub fn into_body(self) -> Vec<u8> {
        self.body
    }

    /// Its body, if that is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.body).ok()
    }
}

/// An answer whose body is read as it comes. Dropped before its end, it is cancelled.
#[derive(Debug)]
pub struct AnswerStream {
    head: Head,
    url: Url,
    redirect_count: usize,
    call: Call,
    /// Bytes that were read and not told yet.
    used: usize,
}

impl AnswerStream {
    /// Its status.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.head.status()
    }

    /// Its head.
    #[must_use]
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// Where it comes from, after redirects.
    #[must_use]
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// How often it was redirected.
    #[must_use]
    pub fn redirect_count(&self) -> usize {
        self.redirect_count
    }

    /// How far it has come.
    #[must_use]
    pub fn progress(&self) -> Progress {
        self.call.progress()
    }

    /// Ends it from any thread.
    #[must_use]
    pub fn canceller(&self) -> Canceller {
        self.call.canceller()
    }

    pub(super) fn call(&self) -> &Call {
        &self.call
    }

    /// The next bytes of the body; none at its end.
    ///
    /// # Errors
    /// It broke off.
    pub fn read_some(&mut self, out: &mut [u8]) -> Result<usize, HttpError> {
        let size = self.read_until(out, None)?;
        Ok(size.expect("invariant: only a deadline ends the wait without bytes"))
    }

    /// The same; `None` when nothing has come by then.
    pub(super) fn read_until(
        &mut self,
        out: &mut [u8],
        deadline: Option<Instant>,
    ) -> Result<Option<usize>, HttpError> {
        if out.is_empty() {
            return Ok(Some(0));
        }
        let mut state = self.call.cell.lock();
        while state.body.is_empty() {
            check(&state)?;
            if state.is_over() {
                return Ok(Some(0));
            }
            state =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self.call.cell.wait(state),
                    Some(Duration::ZERO) => return Ok(None),
                    Some(left) => self.call.cell.wait_for(state, left),
                };
        }
        let size = state.body.read(out).unwrap_or_default();
        let is_empty = state.body.is_empty();
        drop(state);
        self.used += size;
        if self.used >= CONSUMED_STEP || is_empty {
            self.call.consumed(std::mem::take(&mut self.used));
        }
        Ok(Some(size))
    }
}

impl Read for AnswerStream {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.read_some(out).map_err(io::Error::other)
    }
}

impl Drop for AnswerStream {
    fn drop(&mut self) {
        if !self.call.cell.lock().is_over() {
            self.call.canceller().cancel();
        }
    }
}
