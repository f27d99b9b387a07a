// Writes what a Metropolis chain remembers, its gradient aside. The includer's `cache` is written.
//#include "lib/chain.wgsl"

fn store_chain(row: u32, chain: Chain) {
    let at = chain_at(row);
    cache[at] = chain.energy;
    cache[at + 1u] = chain.kinetic;
    cache[at + 2u] = chain.step;
    cache[at + 3u] = chain.outside;
    cache[at + 4u] = chain.accepted;
    cache[at + 5u] = chain.acceptance;
    cache[at + 6u] = chain.dead;
    cache[at + 7u] = chain.rounded;
    cache[at + 8u] = chain.magnitude;
}
