//! Frames for channel logs: in every class that subscribers take.
//!
//! Class 0 is the plain WebSocket frame. Class 1 is the event of the stream format, which bears its place in the
//! channel. Class 9 to 15 is the frame deflated with a window of so many bits
//! and no context, so that one compressed frame serves every subscriber of the class.

use hioload_live::{Class, Encode, Unencoded};
use hioload_ws::deflate::{DeflateParams, Deflater};
use hioload_ws::{HEADER_SIZE_MAX, Kind, Outgoing, encode_header};

use super::settings::Settings;
use super::sse;

/// The class in which a session with these parameters takes channels.
pub(super) fn class_of(params: &DeflateParams) -> Class {
    Class::new(params.server_max_window_bits).unwrap_or(Class::PLAIN)
}

/// One compressor per window size, made when first needed and shared by all sessions of a worker.
pub(super) struct Encoder {
    deflaters: [Option<Deflater>; Class::COUNT_MAX],
    scratch: Vec<u8>,
    /// Smaller payloads go out as they are.
    size_min: usize,
    level: u32,
    /// Longer events are replaced.
    event_size_max: usize,
}

impl Encoder {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            deflaters: [const { None }; Class::COUNT_MAX],
            scratch: Vec::new(),
            size_min: settings.deflate_size_min,
            level: settings.deflate_level,
            event_size_max: sse::event_size_max(&settings.channel),
        }
    }

    /// New settings from the next payload on.
    pub(super) fn set(&mut self, settings: &Settings) {
        // Compressors keep the level they were made with: they are made anew when needed.
        let is_same = self.level == settings.deflate_level;
        let kept = is_same.then(|| std::mem::take(&mut self.deflaters));
        *self = Self {
            deflaters: kept.unwrap_or_default(),
            ..Self::new(settings)
        };
    }

    /// The payload compressed for `class`, when that is worth it.
    pub(super) fn compress(&mut self, class: Class, payload: &[u8]) -> Option<&[u8]> {
        if class == Class::PLAIN || payload.len() < self.size_min {
            return None;
        }
        let level = self.level;
        let deflater = self.deflaters[usize::from(class.number())]
            .get_or_insert_with(|| Deflater::new(class.number(), level));
        self.scratch.clear();
        deflater.compress(payload, &mut self.scratch, false);
        (self.scratch.len() < payload.len()).then_some(&self.scratch[..])
    }
}

/// Text or binary as the log's `kind`.
pub(super) fn kind_number(kind: Kind) -> u8 {
    match kind {
        Kind::Text => 1,
        Kind::Binary => 2,
    }
}

pub(super) fn kind_of(number: u8) -> Kind {
    if number == 1 {
        Kind::Text
    } else {
        Kind::Binary
    }
}

impl Encode for Encoder {
    fn room(&self, class: Class, publication: &Unencoded<'_>) -> usize {
        if class == sse::CLASS {
            return sse::event_room(publication, self.event_size_max);
        }
        HEADER_SIZE_MAX + publication.payload.len()
    }

    fn encode(&mut self, class: Class, publication: &Unencoded<'_>, out: &mut [u8]) -> usize {
        if class == sse::CLASS {
            return sse::encode_event(publication, self.event_size_max, out);
        }
        let (kind, payload) = (kind_of(publication.kind), publication.payload);
        let compressed = self.compress(class, payload);
        let is_compressed = compressed.is_some();
        let body = compressed.unwrap_or(payload);
        let frame = Outgoing {
            compressed: is_compressed,
            ..Outgoing::message(kind, body.len())
        };
        let header = encode_header(frame);
        let size = header.len() + body.len();
        out[..header.len()].copy_from_slice(&header);
        out[header.len()..size].copy_from_slice(body);
        size
    }
}

#[cfg(test)]
mod tests {
    use hioload_live::Since;

    use super::*;

    fn settings(size_min: usize, level: u32) -> Settings {
        Settings {
            deflate_size_min: size_min,
            deflate_level: level,
            ..Settings::default()
        }
    }

    fn unencoded(kind: Kind, payload: &[u8]) -> Unencoded<'_> {
        Unencoded {
            place: Since {
                epoch: 1,
                offset: 1,
            },
            kind: kind_number(kind),
            payload,
        }
    }

    #[test]
    fn the_plain_class_is_the_plain_frame() {
        let mut encoder = Encoder::new(&settings(64, 1));
        let mut out = [0; 32];
        let size = encoder.encode(Class::PLAIN, &unencoded(Kind::Text, b"hi"), &mut out);
        assert_eq!(&out[..size], [0x81, 2, b'h', b'i']);
    }

    #[test]
    fn a_deflated_class_compresses_what_shrinks() {
        let mut encoder = Encoder::new(&settings(64, 1));
        let class = Class::new(15).expect("a class");
        let mut out = vec![0; 2000];
        let size = encoder.encode(class, &unencoded(Kind::Binary, &[7; 1000]), &mut out);
        assert!(size < 100 && out[0] == 0xC2, "{size} bytes");
        let small = encoder.encode(class, &unencoded(Kind::Binary, &[7; 63]), &mut out);
        assert_eq!((small, out[0]), (65, 0x82));
        let noise: Vec<u8> = (0..256u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let random = encoder.encode(class, &unencoded(Kind::Binary, &noise[..100]), &mut out);
        assert_eq!(
            (random, out[0]),
            (102, 0x82),
            "what does not shrink goes plain"
        );
        let text: Vec<u8> = (0..1000u32).map(|i| (i * i % 31) as u8).collect();
        let fast = encoder.encode(class, &unencoded(Kind::Binary, &text), &mut out);
        assert!(fast < 500, "{fast} bytes");
        encoder.set(&settings(1001, 1));
        assert!(
            encoder.encode(class, &unencoded(Kind::Binary, &text), &mut out) > 1000,
            "too small now"
        );
        encoder.set(&settings(64, 0));
        assert!(
            encoder.encode(class, &unencoded(Kind::Binary, &text), &mut out) > 1000,
            "as it is"
        );
        encoder.set(&settings(64, 1));
        assert_eq!(
            encoder.encode(class, &unencoded(Kind::Binary, &text), &mut out),
            fast
        );
    }
}
