//! hyper at the other end, over both versions.

use std::convert::Infallible;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use hioload::http_client::{HttpClient, Method, Protocol, RedirectPolicy, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::{Request as HyperRequest, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};

/// Echoes bodies; `/redirect` leads to `/landed`; `/big` is 3 MB; `/count` tells how many connections there were.
async fn serve(
    number: usize,
    request: HyperRequest<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let method = request.method().to_string();
    let body = request
        .into_body()
        .collect()
        .await
        .map_or_else(|_| Bytes::new(), |body| body.to_bytes());
    let response = Response::builder();
    let response = match path.as_str() {
        "/redirect" => response
            .status(302)
            .header("Location", "/landed")
            .body(Full::default()),
        "/307" => response
            .status(307)
            .header("Location", "/echo")
            .body(Full::default()),
        // Over HTTP/2, hyper leaves it to its service that a HEAD has no content.
        "/big" if method == "HEAD" => response
            .header("Content-Length", "3000000")
            .body(Full::default()),
        "/big" => response.body(Full::from(vec![5; 3_000_000])),
        "/empty" => response.status(204).body(Full::default()),
        "/connection" => response.body(Full::from(number.to_string())),
        "/echo" => response.header("X-Method", method).body(Full::from(body)),
        _ => response.header("X-Method", method).body(Full::from(path)),
    };
    Ok(response.expect("a response"))
}

/// A hyper server on a thread of its own.
fn server(protocol: Protocol) -> String {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async move {
            let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
                .await
                .expect("a port");
            let address = listener.local_addr().expect("an address");
            sender
                .send(format!("http://{address}"))
                .expect("somebody waits");
            let mut number = 0;
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let (io, own) = (TokioIo::new(stream), number);
                number += 1;
                let service = service_fn(move |request| serve(own, request));
                tokio::spawn(async move {
                    let _ = match protocol {
                        Protocol::Http1 => {
                            http1::Builder::new().serve_connection(io, service).await
                        }
                        Protocol::Http2 => {
                            http2::Builder::new(TokioExecutor::new())
                                .serve_connection(io, service)
                                .await
                        }
                    };
                });
            }
        });
    });
    receiver.recv().expect("an address")
}

fn client(protocol: Protocol) -> HttpClient {
    let builder = HttpClient::builder().read_timeout(Duration::from_secs(30));
    let builder = match protocol {
        Protocol::Http1 => builder,
        Protocol::Http2 => builder.http2_prior_knowledge(),
    };
    builder.build().expect("a client")
}

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

#[test]
fn every_method_and_body() {
    for protocol in BOTH {
        let (url, client) = (server(protocol), client(protocol));
        let at = |path: &str| format!("{url}{path}");
        let found = client.get(&at("/a?b")).expect("an answer");
        assert_eq!((found.status(), found.text()), (200, Some("/a")));
        assert_eq!(found.head().protocol(), protocol);
        assert_eq!(found.head().text("x-method"), Some("GET"));
        let found = client.head(&at("/big")).expect("an answer");
        assert_eq!(
            (found.head().content_length(), found.body().len()),
            (Some(3_000_000), 0)
        );
        let found = client.delete(&at("/x")).expect("an answer");
        assert_eq!(found.head().text("x-method"), Some("DELETE"));
        for size in [0, 1, 100_000, 2_000_000] {
            let body = vec![size as u8; size];
            let found = client.put(&at("/echo"), body.clone()).expect("an answer");
            assert_eq!(found.head().text("x-method"), Some("PUT"));
            assert!(found.body() == body, "{size} over {protocol:?}");
            let request = Request::new(Method::POST, at("/echo").parse().expect("legal"));
            let found = client
                .upload(request, None, &mut &body[..])
                .expect("an answer");
            assert!(found.body() == body, "{size} in pieces over {protocol:?}");
        }
        let found = client.get(&at("/empty")).expect("an answer");
        assert_eq!((found.status(), found.body().len()), (204, 0));
        assert_eq!(
            client.get(&at("/big")).expect("an answer").body().len(),
            3_000_000
        );
    }
}

#[test]
fn redirects_with_and_without_bodies() {
    for protocol in BOTH {
        let (url, client) = (server(protocol), client(protocol));
        let found = client
            .post(&format!("{url}/redirect"), *b"gone")
            .expect("an answer");
        assert_eq!(
            (found.text(), found.head().text("x-method")),
            (Some("/landed"), Some("GET"))
        );
        let found = client
            .post(&format!("{url}/307"), *b"kept")
            .expect("an answer");
        assert_eq!(
            (found.body(), found.head().text("x-method")),
            (&b"kept"[..], Some("POST"))
        );
        let request = Request::new(
            Method::GET,
            format!("{url}/redirect").parse().expect("legal"),
        );
        let found = client
            .send(request.redirects(RedirectPolicy::NONE))
            .expect("an answer");
        assert_eq!(found.status(), 302);
        let found = client.get(&format!("{url}/connection")).expect("an answer");
        assert_eq!(found.text(), Some("0"), "all over one connection");
    }
}

#[test]
fn many_threads_share_what_there_is() {
    for protocol in BOTH {
        let (url, client) = (server(protocol), client(protocol));
        thread::scope(|scope| {
            for worker in 0..8 {
                let (url, client) = (&url, client.clone());
                scope.spawn(move || {
                    for n in 0..50 {
                        let path = format!("/{worker}/{n}");
                        let found = client.get(&format!("{url}{path}")).expect("an answer");
                        assert_eq!(found.text(), Some(&*path));
                    }
                });
            }
        });
        let found = client.get(&format!("{url}/connection")).expect("an answer");
        let number: usize = found
            .text()
            .and_then(|text| text.parse().ok())
            .expect("a number");
        assert!(
            number < if protocol == Protocol::Http2 { 1 } else { 6 },
            "{number}"
        );
    }
}
