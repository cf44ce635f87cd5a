//! The redirect machine alone: by table, and by properties over any chain of answers.

use hioload_http::client::{
    LOCATION_SIZE_MAX, Method, RedirectFault, RedirectPolicy, Redirects, Url, UrlFault,
};
use proptest::prelude::*;

fn url(text: &str) -> Url {
    text.parse().expect("legal")
}

fn redirects(policy: RedirectPolicy, method: Method, from: &str) -> Redirects {
    Redirects::new(policy, method, url(from))
}

fn follow(
    machine: &mut Redirects,
    status: u16,
    location: &str,
) -> Result<Option<(String, String, bool, bool)>, RedirectFault> {
    let hop = machine.follow(status, [location.as_bytes()].into_iter())?;
    Ok(hop.map(|hop| {
        (
            hop.url.to_string(),
            hop.method.to_string(),
            hop.drops_body,
            hop.drops_credentials,
        )
    }))
}

#[test]
fn each_status_makes_of_each_method_what_the_rfc_says() {
    for (status, method, expected) in [
        (301, Method::GET, Some(("GET", false))),
        (301, Method::HEAD, Some(("HEAD", false))),
        (301, Method::POST, Some(("GET", true))),
        (301, Method::PUT, Some(("PUT", false))),
        (302, Method::POST, Some(("GET", true))),
        (302, Method::DELETE, Some(("DELETE", false))),
        (303, Method::GET, Some(("GET", false))),
        (303, Method::HEAD, Some(("HEAD", false))),
        (303, Method::POST, Some(("GET", true))),
        (303, Method::PUT, Some(("GET", true))),
        (303, Method::DELETE, Some(("GET", true))),
        (307, Method::POST, Some(("POST", false))),
        (308, Method::POST, Some(("POST", false))),
        (308, Method::PATCH, Some(("PATCH", false))),
        (200, Method::GET, None),
        (300, Method::GET, None),
        (304, Method::GET, None),
        (305, Method::GET, None),
        (306, Method::GET, None),
        (309, Method::GET, None),
        (404, Method::GET, None),
    ] {
        let mut machine = redirects(RedirectPolicy::default(), method.clone(), "http://h/");
        let hop = follow(&mut machine, status, "/next").expect("sound");
        let seen = hop
            .as_ref()
            .map(|(_, method, drops, _)| (&**method, *drops));
        assert_eq!(seen, expected, "{status} {method}");
    }
}

#[test]
fn what_is_private_stays_with_its_origin() {
    for (to, is_other) in [
        ("/b", false),
        ("//h/b", false),
        ("https://h:443/b", false),
        ("https://H/b", false),
        ("https://h:444/b", true),
        ("https://i.h/b", true),
        ("https://other/", true),
    ] {
        let mut machine = redirects(RedirectPolicy::default(), Method::GET, "https://h/a");
        let hop = follow(&mut machine, 302, to)
            .expect("sound")
            .expect("a hop");
        assert_eq!(hop.3, is_other, "{to}");
    }
}

#[test]
fn tls_is_not_left_unless_told() {
    let down = |may_downgrade| {
        let policy = RedirectPolicy {
            may_downgrade,
            ..RedirectPolicy::default()
        };
        let mut machine = redirects(policy, Method::GET, "https://h/");
        follow(&mut machine, 301, "http://h/").map(|hop| hop.map(|hop| hop.0))
    };
    assert_eq!(down(false), Err(RedirectFault::Downgrade));
    assert_eq!(down(true), Ok(Some("http://h/".to_owned())));
    let mut machine = redirects(RedirectPolicy::default(), Method::GET, "http://h/");
    assert!(follow(&mut machine, 301, "https://h/").is_ok());
}

#[test]
fn locations_that_lead_nowhere_are_told_apart() {
    let long = format!("/{}", "a".repeat(LOCATION_SIZE_MAX - 1));
    for (locations, outcome) in [
        (vec![], Err(RedirectFault::WithoutLocation)),
        (vec![""], Err(RedirectFault::WithoutLocation)),
        (vec!["/a", "/b"], Err(RedirectFault::SeveralLocations)),
        (vec!["/a", "/a"], Ok(true)),
        (vec![&*long], Ok(true)),
        (vec!["\u{e9}"], Ok(true)),
        (
            vec!["mailto:a@b"],
            Err(RedirectFault::Location(UrlFault::Scheme)),
        ),
        (
            vec!["ws://h/"],
            Err(RedirectFault::Location(UrlFault::Scheme)),
        ),
        (
            vec!["file:///etc/passwd"],
            Err(RedirectFault::Location(UrlFault::Scheme)),
        ),
        (
            vec!["http://me:pw@h/"],
            Err(RedirectFault::Location(UrlFault::Credentials)),
        ),
        (vec!["//"], Err(RedirectFault::Location(UrlFault::Host))),
        (
            vec!["http://h:0/"],
            Err(RedirectFault::Location(UrlFault::Port)),
        ),
    ] {
        let mut machine = redirects(RedirectPolicy::default(), Method::GET, "http://h/");
        let seen = machine.follow(302, locations.iter().map(|text| text.as_bytes()));
        assert_eq!(seen.map(|hop| hop.is_some()), outcome, "{locations:?}");
    }
    let mut machine = redirects(RedirectPolicy::default(), Method::GET, "http://h/");
    let too_long = format!("{long}a");
    let seen = follow(&mut machine, 302, &too_long);
    assert_eq!(seen, Err(RedirectFault::LocationTooLong));
    let no_text = machine.follow(302, [&b"/\xff"[..]].into_iter());
    assert_eq!(no_text, Err(RedirectFault::Location(UrlFault::Characters)));
}

#[test]
fn so_many_hops_and_no_more() {
    for hops_max in [0u8, 1, 2, 255] {
        let policy = RedirectPolicy {
            hops_max,
            may_downgrade: false,
        };
        let mut machine = redirects(policy, Method::GET, "http://h/");
        for hop in 0..hops_max {
            let seen = follow(&mut machine, 302, &format!("/{hop}"));
            assert!(matches!(seen, Ok(Some(_))), "{hop} of {hops_max}");
        }
        let seen = follow(&mut machine, 302, "/last");
        let expected = match hops_max {
            0 => Ok(None),
            _ => Err(RedirectFault::TooMany),
        };
        assert_eq!(seen, expected, "{hops_max}");
    }
}

#[test]
fn a_loop_is_seen_at_its_first_return() {
    let mut machine = redirects(RedirectPolicy::default(), Method::GET, "http://h/a");
    assert!(follow(&mut machine, 302, "/b").is_ok());
    assert_eq!(follow(&mut machine, 302, "/a#x"), Err(RedirectFault::Loop));
    // To itself by another method is no loop: a form that leads to its page.
    let mut machine = redirects(RedirectPolicy::default(), Method::POST, "http://h/a");
    assert!(follow(&mut machine, 303, "/a").is_ok());
    assert_eq!(follow(&mut machine, 303, "/a"), Err(RedirectFault::Loop));
}

#[test]
fn a_fragment_is_inherited_until_another_one_comes() {
    let mut machine = redirects(RedirectPolicy::default(), Method::GET, "http://h/a#top");
    assert!(follow(&mut machine, 302, "/b").is_ok());
    assert_eq!(machine.url().as_str(), "http://h/b#top");
    assert!(follow(&mut machine, 302, "/c#end").is_ok());
    assert_eq!(machine.url().as_str(), "http://h/c#end");
}

fn location() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c./?#]{0,6}",
        "(http|https)://[a-b](:8[0-1])?/[a-c]{0,2}",
        "//[a-b]/[a-c]{0,2}",
        "\\PC{0,12}",
        Just(String::new()),
    ]
}

proptest! {
    /// Whatever servers answer: a chain ends within its limit, never visits a place twice by the same method, never
    /// leaves TLS, never turns a safe method into another one, and never takes secrets along to another origin.
    #[test]
    fn every_chain_keeps_its_promises(
        hops_max in 0..8u8,
        method in prop_oneof![Just("GET"), Just("HEAD"), Just("POST"), Just("PUT"), Just("DELETE")],
        start in prop_oneof![Just("http://a/"), Just("https://a/a#f")],
        answers in prop::collection::vec((prop_oneof![Just(200u16), 300..310u16], location()), 0..12),
    ) {
        let policy = RedirectPolicy { hops_max, may_downgrade: false };
        let method = Method::new(method).expect("known");
        let mut machine = Redirects::new(policy, method.clone(), url(start));
        let mut visited = vec![(method, url(start))];
        for (status, location) in &answers {
            let (from_method, from) = visited.last().expect("never empty").clone();
            let Ok(Some(hop)) = machine.follow(*status, [location.as_bytes()].into_iter()) else {
                // What is not followed changes nothing.
                prop_assert_eq!(machine.url(), &from);
                continue;
            };
            prop_assert!(matches!(status, 301 | 302 | 303 | 307 | 308));
            let resource = |url: &Url| url.as_str().split('#').next().unwrap_or_default().to_owned();
            let is_known = visited.iter().any(|(method, url)| *method == hop.method && resource(url) == resource(&hop.url));
            prop_assert!(!is_known, "{} twice", hop.url);
            prop_assert!(hop.url.origin().is_tls || !from.origin().is_tls);
            prop_assert_eq!(hop.drops_credentials, hop.url.origin() != from.origin());
            prop_assert_eq!(hop.drops_body, hop.method != from_method);
            prop_assert!(hop.method == from_method || hop.method == Method::GET);
            if from_method == Method::HEAD || matches!(status, 307 | 308) {
                prop_assert_eq!(&hop.method, &from_method);
            }
            prop_assert_eq!(machine.url(), &hop.url);
            visited.push((hop.method, hop.url));
            prop_assert_eq!(machine.hop_count(), visited.len() - 1);
            prop_assert!(machine.hop_count() <= usize::from(hops_max));
        }
    }
}
