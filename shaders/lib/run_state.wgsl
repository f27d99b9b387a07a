// The state of a run: its step counter and seed, each a 64-bit number in two halves.

// Shared with the host.
struct RunState {
    step_low: u32,
    step_high: u32,
    seed_low: u32,
    seed_high: u32,
}
