// Adam and AdamW over a flat parameter buffer, with clipping, decoupled weight decay and an average
// of the weights.
//
//   g = clip * gradient      m = beta1 m + (1 - beta1) g      v = beta2 v + (1 - beta2) g^2
//   p = p - rate (m c1 / (sqrt(v c2) + epsilon) + weight_decay p)
//   average = decay average + (1 - decay) p
//   Source: Kingma and Ba 2015; Loshchilov and Hutter 2019. Nothing changes where `prepared` calls
//     the step off.
//
// parameters, first_moment, second_moment, average : [parameters] written, in vec4s
// gradient : the same, read
// prepared : OptimizerStep of prepare_step.wgsl, read: clip, rate, c1, c2, decay
// Workgroup 64. Grid over count4 invocations, folded over x and y. Zero padding stays zero.
//#include "lib/optimizer_step.wgsl"

struct Params {
    count4: u32,
    beta1: f32,
    beta2: f32,
    epsilon: f32,
    weight_decay: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gradient: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> prepared: OptimizerStep;
@group(0) @binding(3) var<storage, read_write> parameters: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> first_moment: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> second_moment: array<vec4<f32>>;
@group(0) @binding(6) var<storage, read_write> average: array<vec4<f32>>;

@compute @workgroup_size(64, 1, 1)
fn adam(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let at = id.y * groups.x * 64u + id.x;
    if (at >= params.count4 || prepared.go == 0.0) {
        return;
    }
    let schedule = prepared.schedule;
    let g = prepared.clip * gradient[at];
    let m = params.beta1 * first_moment[at] + (1.0 - params.beta1) * g;
    let v = params.beta2 * second_moment[at] + (1.0 - params.beta2) * g * g;
    let p = parameters[at];
    let root = sqrt(v * schedule.second_correction);
    let direction = m * schedule.first_correction / (root + params.epsilon) + params.weight_decay * p;
    let next = p - schedule.rate * direction;
    let decay = schedule.average_decay;
    first_moment[at] = m;
    second_moment[at] = v;
    parameters[at] = next;
    average[at] = decay * average[at] + (1.0 - decay) * next;
}
