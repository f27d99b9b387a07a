//! What happens every so many steps; every 0 steps is never.

/// The first multiple of `every` behind a step.
pub fn next(step: u64, every: u64) -> u64 {
    match every {
        0 => u64::MAX,
        every => (step / every + 1).saturating_mul(every),
    }
}

/// Whether a step that was reached is a multiple of `every`.
pub fn is_due(step: u64, every: u64) -> bool {
    every != 0 && step.is_multiple_of(every)
}
