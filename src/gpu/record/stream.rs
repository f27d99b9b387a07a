//! The numbers of random streams.

/// The number of a stream, from its name alone: FNV-1a, folded to 16 bits.
pub fn stream_id(name: &str) -> u16 {
    let hash =
        name.bytes().fold(0x811c_9dc5u32, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193));
    (hash ^ (hash >> 16)) as u16
}
