// Ranking-NCE loss, the gradient at the energies and the effective sample size, one workgroup per
// context.
//
//   l[b, k] = -E[b, k] - log_q[b, k]      (CORRECTION = 0: -E[b, k], which is InfoNCE)
//   loss, ess and the gradient at the energies of each row of l : lib/ranking.wgsl
//
// energy : [contexts * candidates] with `energy_stride` elements per row, read
// log_q : [contexts, candidates] read (CORRECTION = 0: any buffer)
// energy_gradient : packed [contexts * candidates, 1] written, padding 0
// loss, ess : [contexts] written
// Workgroup 64, 1024 bytes. Grid (contexts folded over x and y). Candidates strided by 64.
// Numerics: those of lib/ranking.wgsl.

struct Params {
    contexts: u32,
    candidates: u32,
    energy_stride: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> energy: array<f32>;
@group(0) @binding(2) var<storage, read> log_q: array<f32>;
@group(0) @binding(3) var<storage, read_write> energy_gradient: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> ess: array<f32>;

const WORKGROUP: u32 = 64u;
//#include "lib/ranking.wgsl"

// `base` is a context's first candidate.
fn logit_again(base: u32, k: u32) -> f32 {
    let at = base + k;
    if (CORRECTION == 1u) {
        return -energy[at * params.energy_stride] - log_q[at];
    }
    return -energy[at * params.energy_stride];
}

fn first_logit(context: u32, base: u32, k: u32) -> f32 {
    let logit = logit_again(base, k);
    var sound = is_finite(energy[(base + k) * params.energy_stride]) & is_finite(logit);
    if (CORRECTION == 1u) {
        sound = sound & is_finite(log_q[base + k]);
    }
    return select(UNSOUND, logit, sound);
}

fn keep_energy_gradient(context: u32, base: u32, k: u32, value: f32) {
    if (context < params.contexts) {
        energy_gradient[base + k] = vec4<f32>(value, 0.0, 0.0, 0.0);
    }
}

@compute @workgroup_size(WORKGROUP, 1, 1)
fn ranking_nce(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    // Workgroups past the end repeat the last context's reads and write nothing: no return before a
    // barrier.
    let context = group.y * groups.x + group.x;
    let first = min(context, params.contexts - 1u) * params.candidates;
    let ranking = rank_candidates(lane, context, first);
    if (lane == 0u && context < params.contexts) {
        loss[context] = ranking.loss;
        ess[context] = ranking.ess;
    }
}
