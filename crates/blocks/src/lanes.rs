//! SHA-256's compression of several messages at the same time on one core.
//!
//! ```text
//!   a  ──block──block──block──▶ state       one message: each round waits for the one before it
//!   b  ──block──block──block──▶ state       several: while a round of one is awaited, the others have theirs
//! ```
//!
//! SHA-NI's `sha256rnds2` takes several cycles until its result may be used, and may be begun much more often: rounds of
//! independent messages, one after the other in the code, fill the gaps. Without SHA-NI, and for one message, the `sha2` crate
//! does it. Must not know what the messages are, nor padding.
//!
//! No `unsafe` of ours: `multiversion` asks the processor once and calls the kernel where it may be called; inside, its
//! instructions are safe. `docs/decisions/0016-sha-256-in-lanes.md` has the figures.
//!
//! Source: FIPS 180-4 6.2; Intel SDM, SHA256RNDS2, SHA256MSG1, SHA256MSG2.

use multiversion::{multiversion, target::match_target};
use sha2::block_api::compress256;

/// Messages compressed at the same time at most: more bring nothing, the registers are full.
pub(crate) const LANES_MAX: usize = 4;

/// Bytes of a block.
pub(crate) const BLOCK: usize = 64;

/// The eight words between two blocks.
pub(crate) type State = [u32; 8];

/// The state before the first block: FIPS 180-4 5.3.3.
pub(crate) const START: State = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

/// Takes blocks of each message into its state, from each as many as the shortest has.
///
/// # Panics
/// With another number of states than messages, or more than [`LANES_MAX`].
pub(crate) fn compress(states: &mut [State], messages: &[&[[u8; BLOCK]]]) {
    assert!(
        states.len() == messages.len() && states.len() <= LANES_MAX,
        "invariant: lanes are counted by the caller"
    );
    let count = messages.iter().map(|blocks| blocks.len()).min();
    match (states, messages) {
        ([], _) => {}
        ([state], [blocks]) => compress256(state, blocks),
        (states, messages) => compress_several(states, messages, count.unwrap_or(0)),
    }
}

#[multiversion(targets("x86_64+sha+ssse3+sse4.1"))]
fn compress_several(states: &mut [State], messages: &[&[[u8; BLOCK]]], count: usize) {
    match_target! {
        "x86_64+sha+ssse3+sse4.1" => sha_ni::compress_several(states, messages, count),
        _ => one_by_one(states, messages, count),
    }
}

fn one_by_one(states: &mut [State], messages: &[&[[u8; BLOCK]]], count: usize) {
    for (state, blocks) in states.iter_mut().zip(messages) {
        compress256(state, &blocks[..count]);
    }
}

#[cfg(target_arch = "x86_64")]
mod sha_ni {
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_extract_epi32, _mm_set_epi32, _mm_set_epi64x,
        _mm_setzero_si128, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32,
        _mm_shuffle_epi8, _mm_shuffle_epi32,
    };

    use super::{BLOCK, State};

    /// The constants of the rounds, four a row: FIPS 180-4 4.2.2.
    #[rustfmt::skip]
    const K: [[u32; 4]; 16] = [
        [0x428a_2f98, 0x7137_4491, 0xb5c0_fbcf, 0xe9b5_dba5],
        [0x3956_c25b, 0x59f1_11f1, 0x923f_82a4, 0xab1c_5ed5],
        [0xd807_aa98, 0x1283_5b01, 0x2431_85be, 0x550c_7dc3],
        [0x72be_5d74, 0x80de_b1fe, 0x9bdc_06a7, 0xc19b_f174],
        [0xe49b_69c1, 0xefbe_4786, 0x0fc1_9dc6, 0x240c_a1cc],
        [0x2de9_2c6f, 0x4a74_84aa, 0x5cb0_a9dc, 0x76f9_88da],
        [0x983e_5152, 0xa831_c66d, 0xb003_27c8, 0xbf59_7fc7],
        [0xc6e0_0bf3, 0xd5a7_9147, 0x06ca_6351, 0x1429_2967],
        [0x27b7_0a85, 0x2e1b_2138, 0x4d2c_6dfc, 0x5338_0d13],
        [0x650a_7354, 0x766a_0abb, 0x81c2_c92e, 0x9272_2c85],
        [0xa2bf_e8a1, 0xa81a_664b, 0xc24b_8b70, 0xc76c_51a3],
        [0xd192_e819, 0xd699_0624, 0xf40e_3585, 0x106a_a070],
        [0x19a4_c116, 0x1e37_6c08, 0x2748_774c, 0x34b0_bcb5],
        [0x391c_0cb3, 0x4ed8_aa4a, 0x5b9c_ca4f, 0x682e_6ff3],
        [0x748f_82ee, 0x78a5_636f, 0x84c8_7814, 0x8cc7_0208],
        [0x90be_fffa, 0xa450_6ceb, 0xbef9_a3f7, 0xc671_78f2],
    ];

    /// Words of the message schedule, the last sixteen of each lane.
    type Words<const N: usize> = [[__m128i; 4]; N];

    /// A state in the order the instructions want: words A, B, E, F of each lane, and C, D, G, H.
    #[derive(Clone, Copy)]
    struct Halves<const N: usize> {
        abef: [__m128i; N],
        cdgh: [__m128i; N],
    }

    #[target_feature(enable = "sha,ssse3,sse4.1")]
    pub(super) fn compress_several(
        states: &mut [State],
        messages: &[&[[u8; BLOCK]]],
        count: usize,
    ) {
        // Registers are given to lanes at compile time.
        match (states, messages) {
            ([a, b], [x, y]) => lanes([a, b], [x, y], count),
            ([a, b, c], [x, y, z]) => lanes([a, b, c], [x, y, z], count),
            ([a, b, c, d], [w, x, y, z]) => lanes([a, b, c, d], [w, x, y, z], count),
            (states, messages) => super::one_by_one(states, messages, count),
        }
    }

    #[expect(
        clippy::needless_range_loop,
        reason = "the place in its message is what lanes have in common"
    )]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn lanes<const N: usize>(states: [&mut State; N], messages: [&[[u8; BLOCK]]; N], count: usize) {
        // With the same length for all, one check of bounds serves each block.
        let messages = messages.map(|blocks| &blocks[..count]);
        let mut now = Halves {
            abef: [_mm_setzero_si128(); N],
            cdgh: [_mm_setzero_si128(); N],
        };
        for (n, state) in states.iter().enumerate() {
            let [a, b, c, d, e, f, g, h] = state.map(u32::cast_signed);
            now.abef[n] = _mm_set_epi32(a, b, e, f);
            now.cdgh[n] = _mm_set_epi32(c, d, g, h);
        }
        for at in 0..count {
            let before = now;
            let mut words = [[_mm_setzero_si128(); 4]; N];
            for n in 0..N {
                for quarter in 0..4 {
                    words[n][quarter] = load(&messages[n][at], quarter);
                }
            }
            sixteen_rounds::<N, false>(0, &mut words, &mut now);
            for row in [4, 8, 12] {
                sixteen_rounds::<N, true>(row, &mut words, &mut now);
            }
            for n in 0..N {
                now.abef[n] = _mm_add_epi32(now.abef[n], before.abef[n]);
                now.cdgh[n] = _mm_add_epi32(now.cdgh[n], before.cdgh[n]);
            }
        }
        for (n, state) in states.into_iter().enumerate() {
            let [f, e, b, a] = to_words(now.abef[n]);
            let [h, g, d, c] = to_words(now.cdgh[n]);
            *state = [a, b, c, d, e, f, g, h];
        }
    }

    /// A quarter of a block: four words, whose bytes come in the order of the network.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn load(block: &[u8; BLOCK], quarter: usize) -> __m128i {
        let halves = block.as_chunks::<8>().0;
        let bytes = _mm_set_epi64x(
            i64::from_le_bytes(halves[2 * quarter + 1]),
            i64::from_le_bytes(halves[2 * quarter]),
        );
        let swap = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        _mm_shuffle_epi8(bytes, swap)
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn to_words(half: __m128i) -> [u32; 4] {
        [
            _mm_extract_epi32::<0>(half).cast_unsigned(),
            _mm_extract_epi32::<1>(half).cast_unsigned(),
            _mm_extract_epi32::<2>(half).cast_unsigned(),
            _mm_extract_epi32::<3>(half).cast_unsigned(),
        ]
    }

    /// The rounds of four rows of constants; `HAS_SCHEDULE` for all but the first, whose words are the message itself.
    ///
    /// Written out, not a loop: words at a place known at compile time stay in registers.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn sixteen_rounds<const N: usize, const HAS_SCHEDULE: bool>(
        row: usize,
        words: &mut Words<N>,
        now: &mut Halves<N>,
    ) {
        four_rounds::<N, HAS_SCHEDULE, 0>(row, words, now);
        four_rounds::<N, HAS_SCHEDULE, 1>(row, words, now);
        four_rounds::<N, HAS_SCHEDULE, 2>(row, words, now);
        four_rounds::<N, HAS_SCHEDULE, 3>(row, words, now);
    }

    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn four_rounds<const N: usize, const HAS_SCHEDULE: bool, const AT: usize>(
        row: usize,
        words: &mut Words<N>,
        now: &mut Halves<N>,
    ) {
        let [k0, k1, k2, k3] = K[row + AT].map(u32::cast_signed);
        let k = _mm_set_epi32(k3, k2, k1, k0);
        for n in 0..N {
            let words = &mut words[n];
            if HAS_SCHEDULE {
                words[AT] = next_words(
                    words[AT],
                    words[(AT + 1) % 4],
                    words[(AT + 2) % 4],
                    words[(AT + 3) % 4],
                );
            }
            let sums = _mm_add_epi32(words[AT], k);
            let (abef, cdgh) = (&mut now.abef[n], &mut now.cdgh[n]);
            *cdgh = _mm_sha256rnds2_epu32(*cdgh, *abef, sums);
            *abef = _mm_sha256rnds2_epu32(*abef, *cdgh, _mm_shuffle_epi32::<0x0e>(sums));
        }
    }

    /// The next four words of the message schedule after the last sixteen.
    #[inline]
    #[target_feature(enable = "sha,ssse3,sse4.1")]
    fn next_words(w0: __m128i, w4: __m128i, w8: __m128i, w12: __m128i) -> __m128i {
        let sums = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w4), _mm_alignr_epi8::<4>(w12, w8));
        _mm_sha256msg2_epu32(sums, w12)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hioload_base::Prng;

    fn blocks(prng: &mut Prng, count: usize) -> Vec<[u8; BLOCK]> {
        (0..count)
            .map(|_| std::array::from_fn(|_| prng.next_u64() as u8))
            .collect()
    }

    /// What the `sha2` crate makes of it.
    fn expected(states: &[State], messages: &[&[[u8; BLOCK]]], count: usize) -> Vec<State> {
        let mut states = states.to_vec();
        one_by_one(&mut states, messages, count);
        states
    }

    #[test]
    fn lanes_agree_with_one_by_one_and_stop_with_the_shortest() {
        let mut prng = Prng::new(1);
        for _ in 0..400 {
            for lanes in 0..=LANES_MAX {
                let messages: Vec<_> = (0..lanes)
                    .map(|_| {
                        let count = prng.below(9) as usize;
                        blocks(&mut prng, count)
                    })
                    .collect();
                let messages: Vec<&[[u8; BLOCK]]> = messages.iter().map(Vec::as_slice).collect();
                let mut states: Vec<State> = (0..lanes)
                    .map(|_| std::array::from_fn(|_| prng.next_u64() as u32))
                    .collect();
                let count = messages
                    .iter()
                    .map(|blocks| blocks.len())
                    .min()
                    .unwrap_or(0);
                let expected = expected(&states, &messages, count);
                compress(&mut states, &messages);
                assert_eq!(states, expected, "{lanes} lanes, {count} blocks");
            }
        }
    }

    #[test]
    #[should_panic(expected = "lanes are counted")]
    fn a_lane_too_many_is_a_bug() {
        compress(&mut [START; LANES_MAX + 1], &[&[][..]; LANES_MAX + 1]);
    }

    #[test]
    #[should_panic(expected = "lanes are counted")]
    fn a_state_without_message_is_a_bug() {
        compress(&mut [START; 2], &[&[][..]]);
    }
}
