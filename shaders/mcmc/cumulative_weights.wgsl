// Running sums of the Boltzmann weights of each context's samples, one workgroup per context.
//
//   w[b, k] = exp(-(E[b, k] - min_k E[b, k]) / T)      cumulative[b, k] = sum_{i <= k} w[b, i]
//
// energy : contexts * samples rows of one number, `energy_stride` elements apart, read
// cumulative : [contexts, samples] written, monotone; an entry equals the one before it where the
// weight is 0. A sample whose energy is not finite weighs 0 (usable_energy.wgsl makes it so where
// the position is not). Where all are such, the last entry is NaN.
// Workgroup 256, 2052 bytes. Grid (contexts folded over x and y). Lane l owns samples l * share ..
// (l + 1) * share - 1.
// Numerics: sums in a fixed order, first within lanes, then over lanes; the largest weight is 1;
// weights below e^-87 are 0.
//#include "lib/finite.wgsl"
//#include "lib/logsumexp.wgsl"

const HIGHEST: f32 = 3.4028234e38;

struct Params {
    contexts: u32,
    samples: u32,
    energy_stride: u32,
}

struct Knobs {
    temperature: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<uniform> knobs: Knobs;
@group(0) @binding(2) var<storage, read> energy: array<f32>;
@group(0) @binding(3) var<storage, read_write> cumulative: array<f32>;

const TREE_LANES: u32 = 256u;
const TREE_WIDTH: u32 = 256u;
alias TreeValue = f32;

fn tree_merge(a: f32, b: f32) -> f32 {
    return min(a, b);
}
//#include "lib/tree.wgsl"

var<workgroup> partial: array<f32, 256>;
var<workgroup> total: f32;

@compute @workgroup_size(256, 1, 1)
fn cumulative_weights(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let context = group.y * groups.x + group.x;
    let inside = context < params.contexts;
    let first = min(context, params.contexts - 1u) * params.samples;
    let share = (params.samples + 255u) / 256u;
    var lowest = HIGHEST;
    for (var i = 0u; i < share; i++) {
        let k = lane * share + i;
        if (k < params.samples) {
            let value = energy[(first + k) * params.energy_stride];
            if (is_finite(value)) {
                lowest = min(lowest, value);
            }
        }
    }
    lowest = tree_reduce(lane, lowest);
    let temperature = max(knobs.temperature, 1e-30);
    var sum = 0.0;
    for (var i = 0u; i < share; i++) {
        let k = lane * share + i;
        if (inside && k < params.samples) {
            let value = energy[(first + k) * params.energy_stride];
            if (is_finite(value)) {
                // Halves, so that the difference of two huge energies stays finite; 88 temperatures
                // weigh nothing.
                let excess = min(0.5 * value - 0.5 * lowest, 44.0 * temperature);
                sum += exp_negative(-2.0 * excess / temperature);
            }
            cumulative[first + k] = sum;
        }
    }
    partial[lane] = sum;
    workgroupBarrier();
    if (lane == 0u) {
        var running = 0.0;
        for (var l = 0u; l < 256u; l++) {
            let own = partial[l];
            partial[l] = running;
            running += own;
        }
        total = running;
    }
    workgroupBarrier();
    let before = partial[lane];
    for (var i = 0u; i < share; i++) {
        let k = lane * share + i;
        if (inside && k < params.samples) {
            // For a lane's last weight this is the addition that gave the next lane's `before`, to
            // the bit: what has no weight gets none by rounding.
            let value = before + cumulative[first + k];
            let nothing = total == 0.0 && k + 1u == params.samples;
            cumulative[first + k] = bitcast<f32>(select(bitcast<u32>(value), NOT_A_NUMBER, nothing));
        }
    }
}
