//! Header blocks: in many parts, without an end, too long, and such that stand for more than they are.

use std::time::Duration;

use hioload_http::h2::{Limits, Offence, Reason};

use crate::h2_kit::wire::*;
use crate::target::*;

// Header blocks: CVE-2024-27316, CVE-2024-24549.

/// A head in so many frames.
fn head_in_parts(id: u32, fields: &[(&str, &str)], continuations: usize) -> Vec<u8> {
    let block = block(fields);
    let cut = |number: usize| block.len() * number / (continuations + 1);
    let parts: Vec<&[u8]> = (0..=continuations)
        .map(|number| &block[cut(number)..cut(number + 1)])
        .collect();
    let mut bytes = Vec::new();
    for (number, part) in parts.iter().enumerate() {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let end = if number == continuations {
            END_HEADERS
        } else {
            0
        };
        let end_stream = if number == 0 { END_STREAM } else { 0 };
        bytes.extend(frame(kind, end | end_stream, id, part));
    }
    bytes
}

#[test]
fn header_blocks_in_many_parts() {
    let long = "x".repeat(200);
    let fields = [GET, &[("x-long", &long)]].concat();
    let mut target = Target::new(&Limits::default());
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 8)).expect("taken");
    assert_eq!((target.heads(), target.count(Reason::Continuation)), (1, 8));
    target.assert_serves();
    let id = target.number();
    assert_eq!(
        target.feed(&head_in_parts(id, &fields, 9)),
        Err(Offence::ContinuationFlood)
    );
    assert_eq!(
        (target.heads(), target.count(Reason::Continuation)),
        (1, 17)
    );
    target.assert_ended(Offence::ContinuationFlood);

    let mut target = Target::new(&with(|limits| limits.continuations_max = 255));
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 99)).expect("taken");
    assert_eq!(target.heads(), 1);
    target.assert_serves();
}

/// Parts that are as long as a frame can be.
#[test]
fn header_blocks_in_long_parts() {
    let long = vec!["x".repeat(16_000); 5];
    let fields: Vec<_> = long.iter().map(|value| ("x-long", &value[..])).collect();
    let fields = [GET, &fields].concat();
    let mut target = Target::new(&Limits::default());
    let id = target.number();
    assert_eq!(
        target.feed(&head_in_parts(id, &fields, 5)),
        Err(Offence::ContinuationFlood)
    );
    assert_eq!(target.heads(), 0);
    target.assert_ended(Offence::ContinuationFlood);

    let mut target = Target::new(&with(|limits| limits.header_list_size_max = 1 << 20));
    let id = target.number();
    target.feed(&head_in_parts(id, &fields, 5)).expect("taken");
    assert_eq!(target.heads(), 1);
    target.assert_serves();
}

#[test]
fn header_blocks_that_do_not_end() {
    let whole = head(3, GET, END_STREAM);
    let fragment = block(GET);
    // A block that is left open, a frame of which a byte is missing, and bytes that come one by one.
    let beginnings = [
        frame(HEADERS, END_STREAM, 3, &fragment),
        whole[..whole.len() - 1].to_vec(),
        whole[..10].to_vec(),
    ];
    for beginning in beginnings {
        let mut target = Target::new(&Limits::default());
        target.feed(&beginning).expect("taken");
        target.sleep(Duration::from_secs(10) - MS);
        assert_eq!(target.timeout(), Ok(()));
        target.assert_serves();
        target.sleep(MS);
        assert_eq!(target.side.connection.poll_timeout(), Some(target.side.now));
        assert_eq!(target.timeout(), Err(Offence::HeaderBlockTimeout));
        target.assert_ended(Offence::HeaderBlockTimeout);

        let mut target = Target::new(&with(|limits| {
            limits.header_block_timeout = DAY;
            limits.ping_interval = Duration::ZERO;
        }));
        target.feed(&beginning).expect("taken");
        target.sleep(DAY - MS);
        assert_eq!(target.timeout(), Ok(()));
        target.assert_serves();
    }
}

/// A list above its limit is that stream's end alone, and the compression stays in step.
#[test]
fn header_lists_above_the_limit() {
    let sized = |size: usize| {
        // Names, values, and 32 for each of five fields.
        let base: usize = GET
            .iter()
            .map(|(name, value)| name.len() + value.len() + 32)
            .sum();
        "x".repeat(size - base - 32 - "x-long".len())
    };
    let open = |target: &mut Target, size| {
        let (long, id) = (sized(size), target.number());
        target.answer(&head(id, &[GET, &[("x-long", &long)]].concat(), END_STREAM))
    };
    let mut target = Target::new(&Limits::default());
    assert_eq!(open(&mut target, 16_384 - 100), []);
    assert_eq!(target.heads(), 1);
    // Blocks are sent in one frame: more than that is in fields that an index stands for.
    let limits = with(|limits| limits.header_list_size_max = 4096);
    let mut target = Target::new(&limits);
    assert_eq!(open(&mut target, 4096), []);
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
    let answer = open(&mut target, 4097);
    assert_eq!(
        (answer.len(), answer[0].kind, answer[0].flags),
        (1, HEADERS, END_HEADERS | END_STREAM)
    );
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 1)
    );
    // An entry that came in a list too big is there for the next one.
    let id = target.number();
    let mut fragment = block(GET);
    fragment.extend_from_slice(&[0x40, 1, b'a', 1, b'b']);
    fragment.extend_from_slice(&block(&[("x-long", &sized(4097))]));
    target
        .feed(&frame(HEADERS, END_HEADERS | END_STREAM, id, &fragment))
        .expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 2)
    );
    let id = target.number();
    let fragment = [&block(GET)[..], &[0xbe]].concat();
    target
        .feed(&frame(HEADERS, END_HEADERS | END_STREAM, id, &fragment))
        .expect("taken");
    assert_eq!(target.side.list.field("a"), Some(&b"b"[..]));
    target.assert_serves();
    // Four times as much is decoded, and no more.
    let mut target = Target::new(&limits);
    let answer = open(&mut target, 4 * 4096 - 100);
    assert_eq!(answer[0].kind, HEADERS);
    target.assert_serves();
    let id = target.number();
    let long = "x".repeat(8100);
    let fields = [GET, &[("x-long", &long), ("x-long", &long)]].concat();
    assert!(block(&fields).len() < 16_384);
    assert_eq!(
        target.feed(&head(id, &fields, END_STREAM)),
        Err(Offence::HeaderListFlood)
    );
    target.assert_ended(Offence::HeaderListFlood);

    let mut target = Target::new(&with(|limits| limits.header_list_size_max = 1 << 20));
    let id = target.number();
    target.feed(&head(id, &fields, END_STREAM)).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
}

#[test]
fn fields_above_the_limit() {
    let list = |count: usize| [GET, &vec![("x", ""); count - GET.len()]].concat();
    let mut target = Target::new(&Limits::default());
    target.open(&list(100), END_STREAM).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
    let id = target.number();
    let answer = target.answer(&head(id, &list(101), END_STREAM));
    assert_eq!((answer.len(), answer[0].kind), (1, HEADERS));
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 1)
    );
    target.assert_serves();
    assert_eq!(
        target.open(&list(401), END_STREAM),
        Err(Offence::HeaderListFlood)
    );

    let mut target = Target::new(&with(|limits| limits.headers_max = 10_000));
    target.open(&list(401), END_STREAM).expect("taken");
    assert_eq!(
        (target.heads(), target.count(Reason::HeaderListTooBig)),
        (1, 0)
    );
}

#[test]
fn lists_too_big_over_and_over() {
    let limits = with(|limits| limits.header_list_size_max = 300);
    let raised = Limits {
        glitch_burst: NO_LIMIT,
        ..limits
    };
    let long = "x".repeat(300);
    for reason in [Reason::HeaderListTooBig, Reason::Glitch] {
        holds(
            &limits,
            &raised,
            (10_000, reason, Offence::GlitchFlood),
            |target| {
                target
                    .open(&[GET, &[("x", &long)]].concat(), END_STREAM)
                    .map(|_| ())
            },
        );
    }
}

/// Few bytes that stand for many.
#[test]
fn a_bomb_of_indexes() {
    let bomb = |references: usize| {
        let mut fragment = block(GET);
        // An entry of 4,000 bytes, and references to it.
        fragment.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
        fragment.extend_from_slice(&[b'y'; 4000]);
        fragment.resize(fragment.len() + references, 0xbe);
        fragment
    };
    let mut target = Target::new(&Limits::default());
    target.assert_serves();
    let id = target.number();
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb(10_000));
    assert_eq!(target.feed(&bytes), Err(Offence::HeaderListFlood));
    assert_eq!(target.heads(), 0);
    assert!(
        target.side.list.size() <= 4 * 16_384 + 4033,
        "decoding stopped"
    );
    assert!(target.side.list.lines().len() <= 16_384);
    target.assert_ended(Offence::HeaderListFlood);

    let mut target = Target::new(&with(|limits| {
        limits.header_list_size_max = 1 << 20;
        limits.headers_max = 10_000;
    }));
    let id = target.number();
    let bytes = frame(HEADERS, END_HEADERS | END_STREAM, id, &bomb(200));
    target.feed(&bytes).expect("taken");
    assert_eq!(target.heads(), 1);
    assert_eq!(
        target
            .side
            .list
            .fields()
            .filter(|(name, _)| *name == b"x")
            .count(),
        201
    );
}

/// A peer that offers a large table makes us keep no more than we want.
#[test]
fn a_table_offered_is_not_filled() {
    let sizes = |limits: &Limits| {
        let mut target = Target::new(limits);
        target.feed(&settings(&[(1, u32::MAX)])).expect("taken");
        // Entries of 40 bytes: the first one is seen again when so many others came between.
        [20, 200].map(|count| {
            let mut respond = |value: String| {
                let id = target.open(GET, END_STREAM).expect("taken");
                let stream = target.side.streams[&id];
                let fields = [(b"x"[..].into(), value.as_bytes())];
                let sent = target
                    .side
                    .connection
                    .respond(stream, 200, fields.into_iter(), true);
                assert_eq!(sent, Ok(()));
                let answer = frames(&target.side.take_wire());
                target.side.release(id);
                answer.last().expect("a head").payload.len()
            };
            respond("0000000".to_owned());
            for number in 1..=count {
                respond(format!("{number:07}"));
            }
            respond("0000000".to_owned())
        })
    };
    // An index, of two bytes with the status, and a literal.
    let [near, far] = sizes(&Limits::default());
    assert!(near == 2 && far > 2, "{near} {far}");
    let [near, far] = sizes(&with(|limits| limits.encoder_table_size_max = 0));
    assert!(near > 2 && far > 2, "{near} {far}");
}
