// What a Metropolis chain remembers between steps: a row of `cache` per chain, a Chain with dE/dy
// of the current point, [dims], behind it. One more row holds the scale of each dimension in the
// place of the gradient: trajectories run in y / scale.
//
// The includer binds `cache`, [rows + 1, CHAIN_WORDS + dims] f32, and has params.rows and
// params.dims. Writing has lib/chain_store.wgsl.

// Shared with the host.
struct Chain {
    energy: f32,
    kinetic: f32, // at the start of the trajectory
    step: f32, // the leapfrog step of the trajectory
    outside: f32, // 1 if the end of the trajectory is outside the box
    accepted: f32, // trajectories so far
    acceptance: f32, // probability of the last one
    dead: f32, // 1 if the start or its energy or gradient is not finite: it never moves
    rounded: f32, // decisions so far that the rounding of energies may have turned
    magnitude: f32, // the largest energy of those
}
// Shared with the host.
const CHAIN_WORDS: u32 = 9u;

// The first element of a chain's row.
fn chain_at(row: u32) -> u32 {
    return row * (CHAIN_WORDS + params.dims);
}

fn chain_gradient_at(row: u32, j: u32) -> u32 {
    return chain_at(row) + CHAIN_WORDS + j;
}

fn chain_scale_at(j: u32) -> u32 {
    return chain_gradient_at(params.rows, j);
}

fn load_chain(row: u32) -> Chain {
    let at = chain_at(row);
    return Chain(
        cache[at], cache[at + 1u], cache[at + 2u], cache[at + 3u], cache[at + 4u], cache[at + 5u], cache[at + 6u],
        cache[at + 7u], cache[at + 8u]);
}
