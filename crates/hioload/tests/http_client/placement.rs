//! A client of several threads: who takes what.

use std::net::TcpListener;

use hioload::http_client::{Call, HttpClient, Method, Request};

/// A server that never says a word.
fn silent() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let addr = listener.local_addr().expect("bound");
    (listener, format!("http://{addr}/"))
}

fn ask(client: &HttpClient, url: &str) -> Call {
    let url = url.parse().expect("a URL");
    client
        .start(Request::new(Method::GET, url))
        .expect("it runs")
}

#[test]
fn requests_go_where_fewer_are_under_way() {
    let (_listener, url) = silent();
    let client = HttpClient::builder().threads(4).build().expect("threads");
    let calls: Vec<Call> = (0..400).map(|_| ask(&client, &url)).collect();
    let counts = client.call_counts();
    assert_eq!(counts.iter().sum::<usize>(), 400);
    let (least, most) = (counts.iter().min(), counts.iter().max());
    let apart = most.zip(least).map(|(most, least)| most - least);
    // By chance alone they are some 25 apart, and one time in a thousand less than 8.
    assert!(apart.is_some_and(|apart| apart < 8), "{counts:?}");
    // What is cancelled counts no more, and each thread still answers for its own.
    for call in &calls {
        call.canceller().cancel();
    }
    for call in calls {
        assert!(call.wait().is_err());
    }
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while client.call_counts() != [0; 4] {
        assert!(std::time::Instant::now() < deadline, "{client:?}");
        std::thread::yield_now();
    }
}

#[test]
fn one_thread_takes_them_all() {
    let (_listener, url) = silent();
    for threads in [0, 1] {
        let client = HttpClient::builder().threads(threads).build();
        let client = client.expect("a thread");
        let _calls = [ask(&client, &url), ask(&client, &url)];
        assert_eq!(client.call_counts(), [2]);
    }
}
