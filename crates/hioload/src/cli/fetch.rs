//! `hioload fetch`: one request, and its answer.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use hioload::http_client::{
    AnswerStream, HttpClient, HttpError, Method, Protocol, RedirectPolicy, Request, RequestBody,
    Roots,
};

use super::exit;
use super::trust::Trust;

/// Bytes of the answer written at a time.
const PIECE_SIZE: usize = 64 << 10;

/// Arguments of `hioload fetch`.
#[derive(Args, Clone, Debug)]
pub(crate) struct FetchArgs {
    /// What to get, such as https://example.org/
    url: String,

    /// The method; GET unless told, POST with --data
    #[arg(short = 'X', long, value_name = "METHOD", value_parser = method)]
    request: Option<Method>,

    /// A field of the request, such as "Accept: text/html"; may be repeated
    #[arg(short = 'H', long, value_name = "NAME: VALUE", value_parser = super::header)]
    header: Vec<(String, String)>,

    /// What to send; @FILE for what is in a file, @- for stdin, in pieces as it comes
    #[arg(short, long, value_name = "DATA")]
    data: Option<String>,

    /// Say who asks (RFC 7617)
    #[arg(short, long, value_name = "USER:PASSWORD")]
    user: Option<String>,

    /// Only the head of the answer
    #[arg(short = 'I', long)]
    head: bool,

    /// The head of the answer, too
    #[arg(short, long)]
    include: bool,

    /// Write the body to a file instead of stdout
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// End with code 1 when the status is 400 or above
    #[arg(short, long)]
    fail: bool,

    /// Redirects to follow; 0 for none
    #[arg(long, value_name = "N", default_value_t = 5)]
    max_redirects: u8,

    /// Speak HTTP/2 at once, in clear
    #[arg(long, conflicts_with = "http1")]
    http2_prior_knowledge: bool,

    /// Speak nothing but HTTP/1.1
    #[arg(long)]
    http1: bool,

    /// Seconds a connection may take to stand
    #[arg(long, value_name = "SECONDS", default_value_t = 20.0, value_parser = seconds)]
    connect_timeout: f64,

    /// Seconds the server may be silent
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0, value_parser = seconds)]
    read_timeout: f64,

    /// Seconds for all of it
    #[arg(long, value_name = "SECONDS", value_parser = seconds)]
    max_time: Option<f64>,

    /// Say on stderr how long what took
    #[arg(long)]
    timing: bool,

    #[command(flatten)]
    trust: Trust,
}

fn method(text: &str) -> Result<Method, String> {
    Method::new(text).ok_or_else(|| "write a method such as GET".to_owned())
}

fn seconds(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "write a number of seconds")?;
    if seconds > 0.0 && seconds <= 86_400.0 {
        Ok(seconds)
    } else {
        Err("write more than 0 and at most 86400 seconds".to_owned())
    }
}

/// Why there is nothing to show.
enum Stop {
    /// It cannot be asked like this.
    Usage(String),
    Http(HttpError),
    /// The answer cannot be written, or the body not read.
    File(String, io::Error),
}

impl From<HttpError> for Stop {
    fn from(error: HttpError) -> Self {
        Self::Http(error)
    }
}

/// Asks, and shows the answer.
pub(crate) fn run(args: &FetchArgs) -> ExitCode {
    match fetch(args) {
        Ok(status) if args.fail && status >= 400 => {
            exit::failure(&format!("the status is {status}"))
        }
        Ok(_) => ExitCode::SUCCESS,
        Err(Stop::Usage(why)) => exit::usage(&why),
        Err(Stop::Http(error @ (HttpError::Url { .. } | HttpError::Request(_)))) => {
            exit::usage(&error)
        }
        Err(Stop::Http(error)) => exit::failure(&error),
        // Nobody reads what is written: there is no more to do.
        Err(Stop::File(_, error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(Stop::File(name, error)) => exit::failure(&format!("{name}: {error}")),
    }
}

fn fetch(args: &FetchArgs) -> Result<u16, Stop> {
    let started = Instant::now();
    let client = client(args)?;
    let (request, source) = request(args)?;
    let mut answer = match source {
        None => client.open(request)?,
        Some(mut source) => client.open_upload(request, None, &mut source)?,
    };
    let to_head = started.elapsed();
    let mut out: Box<dyn Write> = match &args.output {
        None => Box::new(io::stdout().lock()),
        Some(path) => {
            let file = File::create(path);
            Box::new(file.map_err(|error| Stop::File(path.display().to_string(), error))?)
        }
    };
    let failed = |error| Stop::File("the output".to_owned(), error);
    if args.include || args.head {
        write_head(&mut out, &answer).map_err(failed)?;
    }
    let mut piece = vec![0; PIECE_SIZE];
    let mut size_total = 0;
    loop {
        let size = answer.read_some(&mut piece)?;
        if size == 0 {
            break;
        }
        size_total += size;
        out.write_all(&piece[..size]).map_err(failed)?;
    }
    out.flush().map_err(failed)?;
    if args.timing {
        let ms = |time: Duration| time.as_secs_f64() * 1e3;
        eprintln!(
            "{} {} by {}, {} redirects: head after {:.1} ms, {size_total} bytes after {:.1} ms",
            answer.status(),
            answer.url(),
            answer.head().protocol().alpn(),
            answer.redirect_count(),
            ms(to_head),
            ms(started.elapsed()),
        );
    }
    Ok(answer.status())
}

fn client(args: &FetchArgs) -> Result<HttpClient, Stop> {
    let roots = match &args.trust.ca {
        _ if args.trust.insecure => Roots::Insecure,
        Some(path) => Roots::File(path.clone()),
        None => Roots::System,
    };
    let mut builder = HttpClient::builder()
        .roots(roots)
        .connect_timeout(Duration::from_secs_f64(args.connect_timeout))
        .read_timeout(Duration::from_secs_f64(args.read_timeout))
        .redirects(RedirectPolicy {
            hops_max: args.max_redirects,
            may_downgrade: false,
        });
    if let Some(time) = args.max_time {
        builder = builder.total_timeout(Duration::from_secs_f64(time));
    }
    if args.http2_prior_knowledge {
        builder = builder.http2_prior_knowledge();
    }
    if args.http1 {
        builder = builder.http1_only();
    }
    Ok(builder.build()?)
}

/// The request, and what its body is read from.
fn request(args: &FetchArgs) -> Result<(Request, Option<Box<dyn Read>>), Stop> {
    // As people type it: a host alone means http.
    let text = match args.url.contains("://") {
        true => args.url.clone(),
        false => format!("http://{}", args.url),
    };
    let url = text
        .parse()
        .map_err(|fault| HttpError::Url { url: text, fault })?;
    let method = match &args.request {
        Some(method) => method.clone(),
        None if args.head => Method::HEAD,
        None if args.data.is_some() => Method::POST,
        None => Method::GET,
    };
    let mut request = Request::new(method, url);
    for (name, value) in &args.header {
        request = request.field(name, value).map_err(HttpError::from)?;
    }
    if let Some(user) = &args.user {
        let (name, password) = user
            .split_once(':')
            .ok_or_else(|| Stop::Usage("--user: write USER:PASSWORD".to_owned()))?;
        request = request
            .basic_auth(name, password)
            .map_err(HttpError::from)?;
    }
    let source: Option<Box<dyn Read>> = match args
        .data
        .as_deref()
        .map(|data| (data, data.strip_prefix('@')))
    {
        None => None,
        Some((_, Some("-"))) => Some(Box::new(io::stdin().lock())),
        Some((_, Some(path))) => {
            let file = File::open(path).map_err(|error| Stop::File(path.to_owned(), error))?;
            Some(Box::new(file))
        }
        Some((data, None)) => {
            request = request.body(RequestBody::Bytes(data.as_bytes().into()));
            None
        }
    };
    Ok((request, source))
}

fn write_head(out: &mut dyn Write, answer: &AnswerStream) -> io::Result<()> {
    let head = answer.head();
    let version = match head.protocol() {
        Protocol::Http1 => "HTTP/1.1",
        Protocol::Http2 => "HTTP/2",
    };
    writeln!(out, "{version} {}", head.status())?;
    for (name, value) in head.fields() {
        for part in [name, b": ", value, b"\n"] {
            out.write_all(part)?;
        }
    }
    writeln!(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_seconds_as_people_type_them() {
        assert_eq!(
            method("PURGE").map(|m| m.to_string()),
            Ok("PURGE".to_owned())
        );
        assert!(method("NO SUCH").is_err() && method("CONNECT").is_err());
        assert_eq!(seconds("0.5"), Ok(0.5));
        for text in ["0", "-1", "86401", "NaN", "inf", "x"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
