//! Philox4x32-10, raw words (`shaders/gpu/run/random_words.wgsl`).
//!
//! Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011). One element owns
//! one block of four words: fills have the layout `out[4 * element + lane]`.

/// Multipliers and key increments of Philox4x32.
const MULTIPLIER: [u32; 2] = [0xD251_1F53, 0xCD9E_8D57];
const WEYL: [u32; 2] = [0x9E37_79B9, 0xBB67_AE85];

/// One stream of a run at one step: everything in the counter but the element.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Draw {
    /// Seed of the run; low word is key word 0.
    pub seed: u64,
    /// Step of the run.
    pub step: u64,
    /// Stream id, below 2^16.
    pub stream: u32,
    /// Inner step of a chain, below 2^16.
    pub inner: u32,
}

/// Philox4x32 with ten rounds.
pub fn philox4x32_10(counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    philox4x32(10, counter, key)
}

/// Philox4x32 with a chosen number of rounds; the key is bumped between rounds.
pub fn philox4x32(rounds: u32, counter: [u32; 4], key: [u32; 2]) -> [u32; 4] {
    let mut c = counter;
    let mut k = key;
    for round in 0..rounds {
        if round > 0 {
            k = [k[0].wrapping_add(WEYL[0]), k[1].wrapping_add(WEYL[1])];
        }
        let (high0, low0) = wide_product(MULTIPLIER[0], c[0]);
        let (high1, low1) = wide_product(MULTIPLIER[1], c[2]);
        c = [high1 ^ c[1] ^ k[0], low1, high0 ^ c[3] ^ k[1], low0];
    }
    c
}

fn wide_product(a: u32, b: u32) -> (u32, u32) {
    let product = u64::from(a) * u64::from(b);
    ((product >> 32) as u32, product as u32)
}

/// Counter of one element: `(element, step low, step high, stream << 16 | inner)`.
pub fn counter(element: u32, step: u64, stream: u32, inner: u32) -> [u32; 4] {
    assert!(stream < 1 << 16 && inner < 1 << 16, "stream {stream} and inner step {inner} must fit 16 bits");
    [element, step as u32, (step >> 32) as u32, (stream << 16) | inner]
}

/// Key of a seed: `(low, high)`.
pub fn key(seed: u64) -> [u32; 2] {
    [seed as u32, (seed >> 32) as u32]
}

/// Raw words of elements `0..elements`: `[elements, 4]`.
pub fn words(draw: Draw, elements: u32) -> Vec<u32> {
    (0..elements)
        .flat_map(|element| {
            philox4x32_10(counter(element, draw.step, draw.stream, draw.inner), key(draw.seed))
        })
        .collect()
}
