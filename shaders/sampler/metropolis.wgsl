// Ends a trajectory of every chain: the last half kick, then the draft is accepted or the chain stays where it is.
//
//   p = h - eps/2 dE/dy(draft)      gain = E(y) + K - E(draft) - |p|^2 / 2      T = temperature (param) * (knob)
//   accepted with probability min(1, exp(gain / T)) if the draft is inside the box and all of its numbers are usable
//   Source: Neal 2011, "MCMC using Hamiltonian dynamics", equation 5.23. For one leapfrog step `gain` equals the
//   Metropolis-Hastings ratio of the adjusted Langevin algorithm.
//
// energy : rows of one number at the draft, `energy_stride` elements apart, read      state : run state, read
// gradient : [rows, dims], at the draft, read      momentum (h), draft : [rows, dims] read
// cache : [rows, 6 + dims], see lib/chain.wgsl, written      y : [rows, dims] written
// Random: element row owns one uniform; `inner` is the chain's step.
// Workgroup 64. Grid over rows invocations, folded over x and y.
// Numerics: numbers beyond 1e30 (energy) or 1e15 (gradient, momentum), whose squares f32 cannot sum, count as not
// finite: rejected. Without overflow the comparison meets no NaN.
//#include "lib/chain.wgsl"
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
@group(0) @binding(6) var<storage, read> draft: array<f32>;
@group(0) @binding(7) var<storage, read_write> cache: array<f32>;
@group(0) @binding(8) var<storage, read_write> y: array<f32>;

fn usable(x: f32, most: f32) -> bool {
    return is_finite(x) && abs(x) <= most;
}

@compute @workgroup_size(64, 1, 1)
fn metropolis(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    let chain = row * (CHAIN_GRADIENT + params.dims);
    let first = row * params.dims;
    let eps = cache[chain + CHAIN_STEP];
    let found = energy[row * params.energy_stride];
    var sound = usable(found, 1e30) && cache[chain + CHAIN_OUTSIDE] == 0.0;
    var kinetic = 0.0;
    for (var j = 0u; j < params.dims; j++) {
        let slope = gradient[first + j];
        let kicked = momentum[first + j];
        sound = sound && usable(slope, 1e15) && usable(kicked, 1e15) && is_finite(draft[first + j]);
        let p = kicked - 0.5 * eps * slope;
        sound = sound && usable(p, 1e15);
        kinetic += 0.5 * p * p;
    }
    let gain = (cache[chain + CHAIN_ENERGY] - found) + (cache[chain + CHAIN_KINETIC] - kinetic);
    let temperature = params.temperature * knobs.temperature;
    let u = uniform4(random_words4(state, row, params.stream, params.inner)).x;
    let heat = max(temperature, 1e-30);
    let chance = exp(clamp(clamp(gain, -88.0 * heat, 0.0) / heat, -87.0, 0.0));
    cache[chain + CHAIN_CHANCE] = select(0.0, chance, sound);
    if (sound && -negative_log(u) * temperature < gain) {
        cache[chain + CHAIN_ENERGY] = found;
        cache[chain + CHAIN_ACCEPTED] += f32(params.counted);
        for (var j = 0u; j < params.dims; j++) {
            y[first + j] = draft[first + j];
            cache[chain + CHAIN_GRADIENT + j] = gradient[first + j];
        }
    }
}
