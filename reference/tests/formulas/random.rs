//! Philox and what is drawn from it.

use crate::common::near;
use gibbs_reference::gpu::run::advance;
use gibbs_reference::gpu::run::advance::RunState;
use gibbs_reference::gpu::run::random::*;
use gibbs_reference::train::draw_batch;
use gibbs_reference::train::draw_batch::row_of_word;

type Words = [u32; 4];

/// Published vectors of Random123 (`tests/kat_vectors`): counter, key, ten rounds, seven rounds.
const KNOWN: [(Words, [u32; 2], Words, Words); 3] = [
    (
        [0; 4],
        [0; 2],
        [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8],
        [0x5f6f_b709, 0x0d89_3f64, 0x4f12_1f81, 0x4f73_0a48],
    ),
    (
        [u32::MAX; 4],
        [u32::MAX; 2],
        [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd],
        [0x5207_ddc2, 0x4516_5e59, 0x4d8e_e751, 0x8c52_f662],
    ),
    (
        [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344],
        [0xa409_3822, 0x299f_31d0],
        [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1],
        [0x4dfc_caba, 0x190a_87f0, 0xc473_62ba, 0xb6b5_242a],
    ),
];

#[test]
fn philox_known_answers() {
    for (counter, key, ten, seven) in KNOWN {
        assert_eq!(philox4x32_10(counter, key), ten);
        assert_eq!(philox4x32(10, counter, key), ten);
        assert_eq!(philox4x32(7, counter, key), seven);
    }
}

#[test]
fn counter_and_key_layout() {
    let step = 0x0123_4567_89ab_cdef;
    assert_eq!(counter(9, step, 0x00a5, 0x0102), [9, 0x89ab_cdef, 0x0123_4567, 0x00a5_0102]);
    assert_eq!(key(step), [0x89ab_cdef, 0x0123_4567]);
    // The same element gives the same words whatever the size of the fill.
    let draw = Draw { seed: 0xfeed_0000_0001, step: 1 << 33, stream: 3, inner: 2 };
    let long = words(draw, 65);
    assert_eq!(words(draw, 7), long[..28]);
    assert_eq!(long[4 * 64..], philox4x32_10(counter(64, 1 << 33, 3, 2), key(draw.seed)));
    for other in [
        Draw { seed: draw.seed + (1 << 32), ..draw },
        Draw { step: draw.step + (1 << 32), ..draw },
        Draw { stream: 4, ..draw },
        Draw { inner: 3, ..draw },
    ] {
        assert_ne!(words(other, 65)[..4], long[..4], "{other:?}");
    }
}

#[test]
fn uniforms_are_exact_in_f32_and_open() {
    assert_eq!(uniform_of_word(0), 2f64.powi(-24));
    assert_eq!(uniform_of_word(u32::MAX), 1.0 - 2f64.powi(-24));
    for word in (0..=u32::MAX).step_by(7919) {
        let u = uniform_of_word(word);
        let device = ((word >> 9) as f32 + 0.5) * 1.192_092_9e-7;
        assert_eq!(f64::from(device), u);
        assert!(0.0 < u && u < 1.0);
    }
}

#[test]
fn normals_have_their_moments() {
    // r = sqrt(2 ln 2); the angle is a twelfth of a turn: cosine first.
    let radius = (2.0 * std::f64::consts::LN_2).sqrt();
    let [cosine, sine] = normal_pair(0.5, 1.0 / 12.0);
    near("cosine", cosine, radius * 3f64.sqrt() / 2.0, 1e-14);
    near("sine", sine, radius / 2.0, 1e-14);
    let draw = Draw { seed: 11, step: 0, stream: 1, inner: 0 };
    let u = uniform(draw, 5);
    let z = normal(draw, 5);
    for pair in 0..10 {
        assert_eq!(z[2 * pair..2 * pair + 2], normal_pair(u[2 * pair], u[2 * pair + 1]));
        let radius = z[2 * pair].hypot(z[2 * pair + 1]);
        near("radius", radius, (-2.0 * u[2 * pair].ln()).sqrt(), 1e-12);
    }
    let z = normal(draw, 25_000);
    let n = z.len() as f64;
    let moment = |p: i32| z.iter().map(|z| z.powi(p)).sum::<f64>() / n;
    let lag = |d: usize| z.windows(d + 1).map(|w| w[0] * w[d]).sum::<f64>() / n;
    // Standard errors of the moments of 100,000 normals, times 4.
    near("mean", moment(1), 0.0, 4.0 / n.sqrt());
    near("variance", moment(2), 1.0, 4.0 * (2.0 / n).sqrt());
    near("third moment", moment(3), 0.0, 4.0 * (15.0 / n).sqrt());
    near("fourth moment", moment(4), 3.0, 4.0 * (96.0 / n).sqrt());
    for d in 1..=4 {
        near("autocorrelation", lag(d), 0.0, 4.0 / n.sqrt());
    }
}

#[test]
fn advance_carries_into_the_high_word() {
    let state = |step| RunState { step, seed: [7, 8] };
    assert_eq!(advance(state([0, 0])), state([1, 0]));
    assert_eq!(advance(state([u32::MAX, 4])), state([0, 5]));
    assert_eq!(advance(state([u32::MAX, u32::MAX])), state([0, 0]));
}

#[test]
fn batches_stay_within_the_data_and_gather_rows() {
    for n in [1, 7, 65, 1 << 20, u32::MAX] {
        assert_eq!(row_of_word(0, n), 0);
        assert_eq!(row_of_word(u32::MAX, n), n - 1);
        assert!((0..=u32::MAX).step_by(1_000_003).all(|word| row_of_word(word, n) < n));
    }
    let x: Vec<f64> = (0..14).map(f64::from).collect();
    let y: Vec<f64> = (0..21).map(|i| f64::from(i) + 100.0).collect();
    let index = [u32::MAX, 0, 0x8000_0000].map(|word| row_of_word(word, 7));
    let batch = draw_batch(&index, 7, &x, &y);
    assert_eq!(batch.index, [6, 0, 3]);
    assert_eq!(batch.x, [12.0, 13.0, 0.0, 1.0, 6.0, 7.0]);
    assert_eq!(batch.y, [118.0, 119.0, 120.0, 100.0, 101.0, 102.0, 109.0, 110.0, 111.0]);
}
