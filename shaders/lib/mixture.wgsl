// Where a mixture network's outputs lie: per context [logits C | means C x dims | log standard deviations C x dims],
// in normalised units. A single component has no logit: [means | log standard deviations].
// The includer defines `mixture`, the outputs as a storage array of f32, and params.{components, dims, stride,
// low, high}: rows of `stride` elements, raw log standard deviations clamped to [low, high].

fn mixture_logit(row: u32, component: u32) -> f32 {
    if (params.components == 1u) {
        return 0.0;
    }
    return mixture[row * params.stride + component];
}

fn mixture_mean_index(component: u32, dim: u32) -> u32 {
    let logits = select(params.components, 0u, params.components == 1u);
    return logits + component * params.dims + dim;
}

fn mixture_mean(row: u32, component: u32, dim: u32) -> f32 {
    return mixture[row * params.stride + mixture_mean_index(component, dim)];
}

fn mixture_raw_log_std(row: u32, component: u32, dim: u32) -> f32 {
    return mixture[row * params.stride + mixture_mean_index(component, dim) + params.components * params.dims];
}

fn mixture_log_std(row: u32, component: u32, dim: u32) -> f32 {
    return clamp(mixture_raw_log_std(row, component, dim), params.low, params.high);
}

// log-sum-exp of the logits, as a pair.
fn mixture_normaliser(row: u32) -> vec2<f32> {
    var pair = vec2<f32>(EMPTY_MAXIMUM, 0.0);
    for (var c = 0u; c < params.components; c++) {
        pair = pair_add(pair, mixture_logit(row, c));
    }
    return pair;
}
