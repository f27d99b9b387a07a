// Ends a trajectory of every chain: the last half kick, then the proposed is accepted or the chain
// stays where it is.
//
//   p = h - eps/2 s dE/dy(proposed)      gain = E(y) + K - E(proposed) - |p|^2 / 2
//   T = temperature (param) * (knob)
//   accepted with probability min(1, exp(gain / T)) if the proposed is inside the box and all of
//       its
//     numbers are usable
//   Source: Neal 2011, "MCMC using Hamiltonian dynamics", equation 5.23. For one leapfrog step
//     `gain` equals the
//   Metropolis-Hastings ratio of the adjusted Langevin algorithm.
//   rounded += 1 if the decision is turned by |E| 2^-23, what the rounding of two energies adds up
//     to, and that is more than a tenth of T
//
// energy : rows of one number at the proposed, `energy_stride` elements apart, read
// state : RunState, read
// gradient : [rows, dims], at the proposed, read      momentum (h), proposed : [rows, dims] read
// cache : rows of Chain, see lib/chain.wgsl, written      y : [rows, dims] written
// Random: element row owns one uniform; `inner` is the chain's step.
// Workgroup 64. Grid over rows invocations, folded over x and y.
// Numerics: numbers beyond 1e30 (energy) or 1e15 (s gradient, momentum), whose squares f32 cannot
// sum, count as not finite: rejected. Without overflow the comparison meets no NaN.
//#include "lib/chain_store.wgsl"
//#include "lib/finite.wgsl"
//#include "lib/philox.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    energy_stride: u32,
    stream: u32,
    inner: u32,
    counted: u32,
    temperature: f32,
}

struct Knobs {
    temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> state: RunState;
@group(0) @binding(3) var<storage, read> energy: array<f32>;
@group(0) @binding(4) var<storage, read> gradient: array<f32>;
@group(0) @binding(5) var<storage, read> momentum: array<f32>;
@group(0) @binding(6) var<storage, read> proposed: array<f32>;
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

// Beyond these the squares of gradients and momenta, or differences of energies, overflow.
const LARGEST_ENERGY: f32 = 1.0e30;
const LARGEST_MOMENTUM: f32 = 1.0e15;
// The share of an energy that two roundings to f32 are apart at most, and the share of a
// temperature that they change densities by.
const ROUNDING: f32 = 1.1920929e-7;
const NOTABLE: f32 = 0.1;

@compute @workgroup_size(64, 1, 1)
fn metropolis(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var chain = load_chain(row);
    let first = row * params.dims;
    let eps = chain.step;
    let found = energy[row * params.energy_stride];
    var sound = is_within(found, LARGEST_ENERGY) && chain.outside == 0.0;
    var kinetic = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let energy_gradient = gradient[first + j];
        let kicked = momentum[first + j];
        let slope = cache[chain_scale_at(j)] * energy_gradient;
        sound = sound && is_finite(energy_gradient) && is_within(slope, LARGEST_MOMENTUM)
            && is_within(kicked, LARGEST_MOMENTUM) && is_finite(proposed[first + j]);
        let p = kicked - 0.5 * eps * slope;
        sound = sound && is_within(p, LARGEST_MOMENTUM);
        kinetic += 0.5 * p * p;
    }
    let gain = (chain.energy - found) + (chain.kinetic - kinetic);
    let temperature = max(params.temperature * knobs.temperature, 1e-30);
    let u = uniform4(random_words4(state, row, params.stream, params.inner)).x;
    let acceptance = exp(clamp(clamp(gain, -88.0 * temperature, 0.0) / temperature, -87.0, 0.0));
    chain.acceptance = select(0.0, acceptance, sound);
    let magnitude = max(abs(chain.energy), abs(found));
    let margin = abs(gain + negative_log(u) * temperature);
    if (sound && ROUNDING * magnitude > max(NOTABLE * temperature, margin)) {
        chain.rounded += f32(params.counted);
        chain.magnitude = max(chain.magnitude, f32(params.counted) * magnitude);
    }
    if (sound && -negative_log(u) * temperature < gain) {
        chain.energy = found;
        chain.accepted += f32(params.counted);
        for (var j = 0u; j < params.dims; j++) {
            y[first + j] = proposed[first + j];
            cache[chain_gradient_at(row, j)] = gradient[first + j];
        }
    }
    store_chain(row, chain);
}
