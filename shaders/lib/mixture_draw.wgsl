// One draw from a conditional mixture of diagonal Gaussians.
//
//   c = smallest component with sum_{j <= c} softmax(logits)_j >= u
//   z = mean_c + exp(log_std_c) n      y = shift + z / scale, NaN where what it comes from is not
//     finite
//
// Random: element `draw` of the component's stream owns the block whose word 0 gives u; element
// draw * ceil(dims / 4) + j / 4 of the normals' stream owns those of dimensions j .. j + 3.
// The includer brings what lib/mixture.wgsl asks for, `state`, and params.{component_stream,
// normal_stream, inner}.
//#include "lib/philox.wgsl"
//#include "lib/logsumexp.wgsl"
//#include "lib/mixture.wgsl"

// Writes the point y[first .. first + dims] from row `row` of the outputs.
fn mixture_draw(row: u32, draw: u32, first: u32) {
    let u = uniform4(random_words4(state, draw, params.component_stream, params.inner)).x;
    let softmax = mixture_softmax(row);
    // The last component takes what rounding leaves over.
    var chosen = params.components - 1u;
    var cumulated = 0.0;
    for (var c = 0u; c < params.components; c++) {
        cumulated += exp_negative(mixture_logit(row, c) - softmax.x) / softmax.y;
        if (cumulated >= u && chosen > c) {
            chosen = c;
        }
    }
    let blocks = (params.dims + 3u) / 4u;
    for (var block = 0u; block < blocks; block++) {
        let n = normal4(random_words4(state, draw * blocks + block, params.normal_stream, params.inner));
        for (var lane = 0u; lane < 4u; lane++) {
            let j = 4u * block + lane;
            if (j < params.dims) {
                let z = mixture_mean(row, chosen, j) + exp(mixture_log_std(row, chosen, j)) * n[lane];
                y[first + j] = mixture_result(normalizer[j] + z / normalizer[params.dims + j]);
            }
        }
    }
}
