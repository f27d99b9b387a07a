// The noise that a noised mixture of Gaussians implies, or the product of its Jacobian with a
// direction, one invocation per row.
//
//   t_k = W_k (x - alpha mean_k)      l_k = coefficient_k - |t_k|^2 / 2      p_k = W_k' t_k
//   r = softmax(l)
//   MODE 1: eps = sigma p, p = sum_k r_k p_k
//   MODE 2: J'v = J v = sigma sum_k r_k [ W_k' W_k v - (p_k - p) ((p_k - p) . v) ]
//   W_k is the inverse Cholesky factor of alpha^2 covariance_k + sigma^2,
//       coefficient_k = log(weight_k det W_k) - dims log(2 pi) / 2:
//   all of a level comes from the host in f64 precision.
//   Source: arXiv 2304.12824, eps = -sigma grad log q_t, for q_0 a mixture.
//
// table : [components, (1 + BLOCKS + dims BLOCKS)] vec4s: coefficient in x; alpha mean; the rows of
// W, all padded with zeros, read
// x : [rows, dims] read, rows x_stride numbers apart
// direction : packed [rows, dims] read (MODE 2, otherwise any vec4s)
// out : packed [rows, dims] written, padding zero
// Defines: MODE (1 eps, 2 product), BLOCKS (dims / 4, rounded up).
// Workgroup 64. Grid over rows invocations, folded over x and y.
// Numerics: sums are kept relative to the running maximum, so that the likeliest component weighs 1
// however far away x is; the Jacobian's spread is summed around the mean in a second pass, not as a
// difference of squares. Finite while |t|^2 stays below 1e37.
//#include "lib/logsumexp.wgsl"

struct Params {
    rows: u32,
    dims: u32,
    components: u32,
    x_stride: u32,
    sigma: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> table: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> x: array<f32>;
@group(0) @binding(3) var<storage, read> direction: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read_write> out: array<vec4<f32>>;

struct Component {
    l: f32,
    p: array<vec4<f32>, BLOCKS>,
    // W'W v
    q: array<vec4<f32>, BLOCKS>,
}

fn component(index: u32, point: array<vec4<f32>, BLOCKS>, v: array<vec4<f32>, BLOCKS>) -> Component {
    let begin = index * (1u + BLOCKS + params.dims * BLOCKS);
    var found: Component;
    var apart: array<vec4<f32>, BLOCKS>;
    found.l = table[begin].x;
    for (var b = 0u; b < BLOCKS; b++) {
        apart[b] = point[b] - table[begin + 1u + b];
    }
    for (var i = 0u; i < params.dims; i++) {
        let at = begin + 1u + BLOCKS + i * BLOCKS;
        var factor: array<vec4<f32>, BLOCKS>;
        var t = 0.0;
        var u = 0.0;
        for (var b = 0u; b < BLOCKS; b++) {
            factor[b] = table[at + b];
            t += dot(factor[b], apart[b]);
            u += dot(factor[b], v[b]);
        }
        found.l -= 0.5 * t * t;
        for (var b = 0u; b < BLOCKS; b++) {
            found.p[b] += t * factor[b];
            found.q[b] += u * factor[b];
        }
    }
    return found;
}

@compute @workgroup_size(64, 1, 1)
fn mixture_score(@builtin(global_invocation_id) id: vec3<u32>, @builtin(num_workgroups) groups: vec3<u32>) {
    let row = id.y * groups.x * 64u + id.x;
    if (row >= params.rows) {
        return;
    }
    var point: array<vec4<f32>, BLOCKS>;
    var v: array<vec4<f32>, BLOCKS>;
    for (var b = 0u; b < BLOCKS; b++) {
        for (var lane = 0u; lane < 4u; lane++) {
            if (4u * b + lane < params.dims) {
                point[b][lane] = x[row * params.x_stride + 4u * b + lane];
            }
        }
        if (MODE == 2u) {
            v[b] = direction[row * BLOCKS + b];
        }
    }
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    var mean: array<vec4<f32>, BLOCKS>;
    for (var k = 0u; k < params.components; k++) {
        let one = component(k, point, v);
        let largest = max(pair.x, one.l);
        let keep = exp_negative(pair.x - largest);
        let weight = exp_negative(one.l - largest);
        for (var b = 0u; b < BLOCKS; b++) {
            mean[b] = keep * mean[b] + weight * one.p[b];
        }
        pair = vec2<f32>(largest, keep * pair.y + weight);
    }
    for (var b = 0u; b < BLOCKS; b++) {
        mean[b] = mean[b] / pair.y;
    }
    var product: array<vec4<f32>, BLOCKS>;
    if (MODE == 2u) {
        for (var k = 0u; k < params.components; k++) {
            let one = component(k, point, v);
            var along = 0.0;
            for (var b = 0u; b < BLOCKS; b++) {
                along += dot(one.p[b] - mean[b], v[b]);
            }
            let r = exp_negative(min(one.l - pair.x, 0.0)) / pair.y;
            for (var b = 0u; b < BLOCKS; b++) {
                product[b] += r * (one.q[b] - along * (one.p[b] - mean[b]));
            }
        }
    }
    for (var b = 0u; b < BLOCKS; b++) {
        if (MODE == 2u) {
            out[row * BLOCKS + b] = params.sigma * product[b];
        } else {
            out[row * BLOCKS + b] = params.sigma * mean[b];
        }
    }
}
