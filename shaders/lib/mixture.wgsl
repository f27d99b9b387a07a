// Where a mixture network's outputs lie: per context [logits C | means C x dims | log standard
// deviations C x dims], in normalized units. A single component has no logit: [means | log standard
// deviations]. The includer defines `mixture`, the outputs as a storage array of f32, `normalizer`
// and `y`, and params.{components, dims, stride, low, high}: rows of `stride` elements, raw log
// standard deviations clamped to [low, high].
// Clamps and sums of exponentials hide a NaN: what is read of `mixture` and `y` is noted, and
// mixture_is_sound tells whether all of it was finite.
//#include "lib/finite.wgsl"

const HALF_LOG_TWO_PI: f32 = 0.91893853;

// The largest exponent bits of what was read.
var<private> mixture_exponents: u32 = 0u;

fn mixture_noted(value: f32) -> f32 {
    mixture_exponents = max(mixture_exponents, bitcast<u32>(value) & 0x7f800000u);
    return value;
}

fn mixture_is_sound() -> bool {
    return mixture_exponents != 0x7f800000u;
}

// `value`, or NaN if not all that was read was finite.
fn mixture_result(value: f32) -> f32 {
    return bitcast<f32>(select(NOT_A_NUMBER, bitcast<u32>(value), mixture_is_sound()));
}

fn mixture_logit(row: u32, component: u32) -> f32 {
    if (params.components == 1u) {
        return 0.0;
    }
    return mixture_noted(mixture[row * params.stride + component]);
}

fn mixture_mean_index(component: u32, dim: u32) -> u32 {
    let logits = select(params.components, 0u, params.components == 1u);
    return logits + component * params.dims + dim;
}

fn mixture_mean(row: u32, component: u32, dim: u32) -> f32 {
    return mixture_noted(mixture[row * params.stride + mixture_mean_index(component, dim)]);
}

fn mixture_raw_log_std(row: u32, component: u32, dim: u32) -> f32 {
    let at = mixture_mean_index(component, dim) + params.components * params.dims;
    return mixture_noted(mixture[row * params.stride + at]);
}

fn mixture_log_std(row: u32, component: u32, dim: u32) -> f32 {
    return clamp(mixture_raw_log_std(row, component, dim), params.low, params.high);
}

// Coordinate j, in normalized units, of the point whose first element is y[first].
fn mixture_normalized(first: u32, j: u32) -> f32 {
    return (mixture_noted(y[first + j]) - normalizer[j]) * normalizer[params.dims + j];
}

// logit_c + log N_c of that point, up to the normalizer of the logits.
fn mixture_joint(row: u32, component: u32, first: u32) -> f32 {
    var log_density = mixture_logit(row, component);
    for (var j = 0u; j < params.dims; j++) {
        let log_std = mixture_log_std(row, component, j);
        let r = (mixture_normalized(first, j) - mixture_mean(row, component, j)) * exp(-log_std);
        log_density += -0.5 * r * r - log_std - HALF_LOG_TWO_PI;
    }
    return log_density;
}

// log-sum-exp of the logits, as a pair.
fn mixture_softmax(row: u32) -> vec2<f32> {
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var c = 0u; c < params.components; c++) {
        pair = pair_add(pair, mixture_logit(row, c));
    }
    return pair;
}
