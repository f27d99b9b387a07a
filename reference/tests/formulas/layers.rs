//! Dense layers, networks and optimizers.

use crate::common::{check_gradient, coefficients, downstream, is_smooth, near, normals, uniforms};
use gibbs_reference::compose::mlp::flatten;
use gibbs_reference::compose::{AdamOptions, AdamRun, Block, Mlp, Network};
use gibbs_reference::nn::dense::dense_forward::Init;
use gibbs_reference::nn::passes::layer_norm::NormShape;
use gibbs_reference::nn::*;

const SHAPE: DenseShape = DenseShape { rows: 5, inputs: 3, outputs: 4 };

/// ReLU has a kink at 0: difference quotients are wrong within a step of it.
fn assert_away_from_kink(sums: &[f64]) {
    assert!(sums.iter().all(|z| z.abs() > 1e-3), "choose data with no sum near 0");
}

#[test]
fn dense_forward_by_hand() {
    let shape = DenseShape { rows: 2, inputs: 2, outputs: 3 };
    let h = [1.0, -2.0, 0.5, 4.0];
    let w = [1.0, 2.0, 3.0, 10.0, 20.0, -30.0];
    let layer = dense_forward(shape, &h, &w, Init::Bias(&[0.5, -1.0, 0.25]), Activation::Relu);
    assert_eq!(layer.sum, [-18.5, -39.0, 63.25, 41.0, 80.0, -118.25]);
    assert_eq!(layer.output, [0.0, 0.0, 63.25, 41.0, 80.0, 0.0]);
    assert_eq!(layer.slope, [0.0, 0.0, 1.0, 1.0, 1.0, 0.0]);
    assert_eq!(layer.magnitude, [21.5, 43.0, 63.25, 41.0, 82.0, 121.75]);
    let context = Init::Context { values: &[0.5, -1.0, 0.25], candidates: 2 };
    assert_eq!(dense_forward(shape, &h, &w, context, Activation::Relu), layer);
    let context = Init::Context { values: &[0.0, 0.0, 0.0, 1.0, 2.0, 3.0], candidates: 1 };
    let sums = dense_forward(shape, &h, &w, context, Activation::Identity).sum;
    assert_eq!(sums, [-19.0, -38.0, 63.0, 41.5, 83.0, -115.5]);
    let sums = dense_forward(shape, &h, &w, Init::Zero, Activation::Identity).output;
    assert_eq!(sums, [-19.0, -38.0, 63.0, 40.5, 81.0, -118.5]);
}

#[test]
fn activations_at_the_ends_and_their_slopes() {
    for activation in Activation::ALL {
        let points = [-3.1, -0.7, 0.2, 1.9];
        let values = |z: &[f64]| z.iter().map(|&z| activation.value(z)).collect::<Vec<_>>();
        let slopes: Vec<f64> = points.iter().map(|&z| activation.slope(z)).collect();
        let gradient: Vec<f64> = slopes.iter().zip(coefficients(4)).map(|(s, c)| s * c).collect();
        check_gradient("slope", &points, &gradient, |z| downstream(&values(z)));
        for z in [-1e30, -750.0, 0.0, 750.0, 1e30] {
            assert!(
                activation.value(z).is_finite() && activation.slope(z).is_finite(),
                "{activation:?}({z})"
            );
        }
    }
    near("silu", Activation::Silu.value(1.0), 0.731_058_578_630_004_9, 1e-15);
    near("silu'", Activation::Silu.slope(1.0), 0.927_670_511_871_487_7, 1e-12);
    near("gelu", Activation::Gelu.value(1.0), 0.841_344_746_068_542_9, 1e-14);
    near("gelu'", Activation::Gelu.slope(1.0), 1.083_315_470_587_686_3, 1e-14);
    near("gelu far below / 1e-20", Activation::Gelu.value(-10.0) / 1e-20, -7.619_853_024_160_527e-3, 1e-14);
    near("softplus", Activation::Softplus.value(0.0), std::f64::consts::LN_2, 1e-15);
    near("softplus'", Activation::Softplus.slope(2.0), 0.880_797_077_977_882_3, 1e-15);
    // From their definitions, in double precision.
    near("gelu by tanh", Activation::GeluTanh.value(1.0), 0.841_191_990_608_276_8, 1e-14);
    near("gelu by tanh, below", Activation::GeluTanh.value(-2.0), -0.045_402_305_912_224_94, 1e-14);
    near("mish", Activation::Mish.value(1.0), 0.865_098_388_267_310_3, 1e-14);
    near("mish below", Activation::Mish.value(-2.0), -0.252_501_482_695_708_9, 1e-14);
    near("elu below", Activation::Elu.value(-1.0), -0.632_120_558_828_557_7, 1e-14);
    assert_eq!((Activation::Elu.value(2.5), Activation::Elu.slope(0.0)), (2.5, 1.0));
    assert_eq!((Activation::LeakyRelu.value(-2.0), Activation::LeakyRelu.value(2.0)), (-0.02, 2.0));
    assert_eq!(Activation::LeakyRelu.slope(0.0), 0.01);
    assert_eq!((Activation::Mish.value(-1e30), Activation::Mish.slope(1e30)), (0.0, 1.0));
    assert_eq!((Activation::GeluTanh.value(-1e30), Activation::GeluTanh.slope(1e30)), (0.0, 1.0));
    assert_eq!((Activation::Gelu.value(-1e30), Activation::Gelu.slope(1e30)), (0.0, 1.0));
    assert_eq!((Activation::Softplus.value(1e30), Activation::Softplus.slope(-1e30)), (1e30, 0.0));
    assert_eq!(Activation::Relu.slope(0.0), 0.0);
    assert_eq!((Activation::Silu.value(-1e30), Activation::Silu.slope(1e30)), (0.0, 1.0));
    assert_eq!((Activation::Tanh.value(-1e30), Activation::Tanh.slope(1e30)), (-1.0, 0.0));
}

#[test]
fn dense_backward_matches_differences() {
    let DenseShape { rows, inputs, outputs } = SHAPE;
    let h = normals(1, rows * inputs);
    let w = normals(2, inputs * outputs);
    let bias = normals(3, outputs);
    for activation in Activation::ALL {
        let f = |h: &[f64], w: &[f64], bias: &[f64]| dense_forward(SHAPE, h, w, Init::Bias(bias), activation);
        let layer = f(&h, &w, &bias);
        assert_away_from_kink(&layer.sum);
        let dz: Vec<f64> = layer.slope.iter().zip(coefficients(rows * outputs)).map(|(s, c)| s * c).collect();

        let dh = dense_input_gradient(SHAPE, &dz, &w, None).value;
        check_gradient("dh", &h, &dh, |h| downstream(&f(h, &w, &bias).output));

        let whole = dense_weight_gradient(SHAPE, &h, &dz, std::slice::from_ref(&(0..rows)));
        check_gradient("dW", &w, &whole.weights.value, |w| downstream(&f(&h, w, &bias).output));
        check_gradient("db", &bias, &whole.bias.value, |bias| downstream(&f(&h, &w, bias).output));

        // Splits of uneven length add up to the whole.
        let parts = dense_weight_gradient(SHAPE, &h, &dz, &[0..2, 2..2, 2..5]);
        let sum = reduce_partials(&parts.weights.value, 3, inputs * outputs).value;
        let bias_sum = reduce_partials(&parts.bias.value, 3, outputs).value;
        for (found, expected) in [(&sum, &whole.weights), (&bias_sum, &whole.bias)] {
            for (found, expected) in found.iter().zip(&expected.value) {
                near("splits", *found, *expected, 1e-13);
            }
        }
        assert!(parts.weights.value[inputs * outputs..2 * inputs * outputs].iter().all(|&g| g == 0.0));
    }
}

#[test]
fn input_gradient_applies_the_slope_of_the_layer_below() {
    let DenseShape { rows, inputs, outputs } = SHAPE;
    let x = normals(4, rows * inputs);
    let w = normals(5, inputs * outputs);
    for below in Activation::ALL {
        let h = |x: &[f64]| x.iter().map(|&x| below.value(x)).collect::<Vec<_>>();
        let f =
            |x: &[f64]| downstream(&dense_forward(SHAPE, &h(x), &w, Init::Zero, Activation::Identity).output);
        let slope: Vec<f64> = x.iter().map(|&x| below.slope(x)).collect();
        assert_away_from_kink(&x);
        let gradient = dense_input_gradient(SHAPE, &coefficients(rows * outputs), &w, Some(&slope));
        check_gradient("dz below", &x, &gradient.value, f);
    }
}

#[test]
fn magnitudes_are_sums_of_absolute_terms() {
    let DenseShape { rows, inputs, outputs } = SHAPE;
    let h = normals(6, rows * inputs);
    let w = normals(7, inputs * outputs);
    let dz = normals(8, rows * outputs);
    let slope = normals(9, rows * inputs);
    let bias = normals(10, outputs);
    let abs = |v: &[f64]| v.iter().map(|v| v.abs()).collect::<Vec<_>>();
    let (ah, aw, adz, aslope, abias) = (abs(&h), abs(&w), abs(&dz), abs(&slope), abs(&bias));
    let identity = Activation::Identity;
    assert_eq!(
        dense_forward(SHAPE, &h, &w, Init::Bias(&bias), identity).magnitude,
        dense_forward(SHAPE, &ah, &aw, Init::Bias(&abias), identity).sum
    );
    assert_eq!(
        dense_input_gradient(SHAPE, &dz, &w, Some(&slope)).magnitude,
        dense_input_gradient(SHAPE, &adz, &aw, Some(&aslope)).value
    );
    let splits = [0..3, 3..5];
    let signed = dense_weight_gradient(SHAPE, &h, &dz, &splits);
    let absolute = dense_weight_gradient(SHAPE, &ah, &adz, &splits);
    assert_eq!(signed.weights.magnitude, absolute.weights.value);
    assert_eq!(signed.bias.magnitude, absolute.bias.value);
    assert_eq!(reduce_partials(&h, 3, 5).magnitude, reduce_partials(&ah, 3, 5).value);
    assert_eq!(sum_candidates(&w, 2, 3, 2).magnitude, sum_candidates(&aw, 2, 3, 2).value);
}

#[test]
fn sums_over_candidates_and_partials_by_hand() {
    let values: Vec<f64> = (0..12).map(f64::from).collect();
    assert_eq!(sum_candidates(&values, 2, 3, 2).value, [6.0, 9.0, 24.0, 27.0]);
    assert_eq!(reduce_partials(&values, 3, 4).value, [12.0, 15.0, 18.0, 21.0]);
}

#[test]
fn unpack_gradient_is_the_chain_rule_of_pack_inputs() {
    let x = normals(11, 6);
    let (shift, scale) = ([0.5, -2.0], [3.0, 0.25]);
    assert_eq!(pack_inputs(&[1.0, 2.0], &shift, &scale), [1.5, 1.0]);
    let gradient = unpack_gradient(&coefficients(6), &scale);
    check_gradient("pack", &x, &gradient, |x| downstream(&pack_inputs(x, &shift, &scale)));
}

#[test]
fn fourier_gradient_is_the_chain_rule_of_fourier_features() {
    let (shift, scale) = ([0.5, -2.0], [3.0, 0.25]);
    let matrix = [1.0, -0.5, 2.5, 0.25, 3.0, -1.5];
    for kept in [0, 2] {
        let x = normals(12, 6);
        let features = |x: &[f64]| fourier_features(x, &shift, &scale, &matrix, kept);
        let out = features(&x);
        let gradient = fourier_gradient(&coefficients(out.len()), &out, &scale, &matrix, kept).value;
        check_gradient("fourier", &x, &gradient, |x| downstream(&features(x)));
    }
    // An eighth of a turn, then a quarter turn backwards; whole turns do not count.
    let out = fourier_features(&[0.25, 0.5], &[0.0, 0.0], &[1.0, 1.0], &[0.5, 4.0, 4000.0, -0.5], 2);
    let half = std::f64::consts::FRAC_1_SQRT_2;
    for (found, expected) in out.iter().zip([half, half, 0.0, -1.0, 0.25, 0.5]) {
        near("feature", *found, expected, 1e-15);
    }
}

fn network(widths: &[usize], hidden: Activation) -> Mlp {
    Mlp::new(widths, hidden, &uniforms(12, Mlp::parameter_count(widths)))
}

#[test]
fn r18_parameter_count() {
    assert_eq!(Mlp::parameter_count(&[72, 1024, 1024, 1024, 1024, 1]), 3_224_577);
}

#[test]
fn network_backward_matches_differences() {
    for hidden in Activation::ALL {
        let mut network = network(&[3, 6, 5, 2], hidden);
        // The slope of the last layer counts too.
        network.layers[2].activation = Activation::Tanh;
        assert_eq!(network.with_parameters(&network.parameters()), network);
        let x = normals(13, 4 * 3);
        let trace = network.forward(&x);
        for layer in &trace.layers[..2] {
            assert_away_from_kink(&layer.sum);
        }
        let output_gradient = coefficients(trace.output().len());
        let gradient = network.backward(&trace, &output_gradient);
        check_gradient("inputs", &x, &gradient.inputs, |x| downstream(network.forward(x).output()));
        check_gradient("parameters", &network.parameters(), &flatten(&gradient.layers), |p| {
            downstream(network.with_parameters(p).forward(&x).output())
        });
        assert_eq!(network.backward_parameters(&trace, &output_gradient), gradient.layers);
        assert_eq!(network.backward_inputs(&trace, &output_gradient), gradient.inputs);
    }
}

#[test]
fn broadcast_form_equals_the_concatenated_network() {
    let (contexts, candidates, dx, dy) = (3, 4, 2, 3);
    let network = network(&[dx + dy, 6, 5, 2], Activation::Silu);
    let x = normals(14, contexts * dx);
    let y = normals(15, contexts * candidates * dy);
    let mut rows = Vec::new();
    for (r, y) in y.chunks_exact(dy).enumerate() {
        let b = r / candidates;
        rows.extend_from_slice(&x[b * dx..(b + 1) * dx]);
        rows.extend_from_slice(y);
    }
    let whole = network.forward(&rows);
    let broadcast = network.forward_candidates(&x, &y, contexts, candidates);
    let output_gradient = coefficients(whole.output().len());
    let whole_gradient = network.backward(&whole, &output_gradient);
    let gradient = network.backward_candidates(&broadcast, &output_gradient);
    let split = |part: std::ops::Range<usize>| -> Vec<f64> {
        whole_gradient.inputs.chunks_exact(dx + dy).flat_map(|row| row[part.clone()].to_vec()).collect()
    };
    let dx_whole = sum_candidates(&split(0..dx), contexts, candidates, dx).value;
    for (name, found, expected) in [
        ("output", broadcast.output(), whole.output()),
        ("parameters", &flatten(&gradient.layers), &flatten(&whole_gradient.layers)),
        ("x", &gradient.x, &dx_whole),
        ("y", &gradient.y, &split(dx..dx + dy)),
    ] {
        assert_eq!(found.len(), expected.len(), "{name}");
        for (found, expected) in found.iter().zip(expected) {
            near(name, *found, *expected, 1e-12);
        }
    }
    check_gradient("y", &y, &gradient.y, |y| {
        downstream(network.forward_candidates(&x, y, contexts, candidates).output())
    });
    check_gradient("x", &x, &gradient.x, |x| {
        downstream(network.forward_candidates(x, &y, contexts, candidates).output())
    });
}

#[test]
fn the_normal_distribution_function_meets_known_values_on_both_sides_of_its_seam() {
    for (z, below) in [
        (0.5, 0.691_462_461_274_013_1),
        (2.9, 0.998_134_186_699_616_1),
        (3.1, 0.999_032_396_786_781_6),
        (6.0, 0.999_999_999_013_412_3),
    ] {
        near("Phi", normal_below(z), below, 1e-14);
        near("Phi below", normal_below(-z), 1.0 - below, 1e-14);
    }
    near("Phi(-6) / 1e-10", normal_below(-6.0) / 1e-10, 9.865_876_450_377, 1e-10);
}

#[test]
fn layer_norm_by_hand() {
    let shape = NormShape { rows: 2, width: 3, epsilon: 0.25 };
    let norm = layer_norm(shape, &[1.0, 4.0, 1.0, -2.0, -2.0, -2.0], &[1.0, 2.0, -1.0], &[0.0, 0.5, 3.0]);
    // Mean 2, deviations -1, 2, -1, variance 2, 1 / sqrt(2.25) = 2 / 3.
    for (found, expected) in
        norm.output.iter().zip([-2.0 / 3.0, 8.0 / 3.0 + 0.5, 2.0 / 3.0 + 3.0, 0.0, 0.5, 3.0])
    {
        near("normalized", *found, expected, 1e-15);
    }
    assert_eq!((&norm.mean[..], norm.rstd[1]), (&[2.0, -2.0][..], 2.0));
}

#[test]
fn layer_norm_backward_matches_differences() {
    for (rows, width, epsilon) in [(4, 5, 1e-3), (3, 2, 0.1), (5, 1, 0.5)] {
        let shape = NormShape { rows, width, epsilon };
        let (h, gain, bias) = (normals(20, rows * width), normals(21, width), normals(22, width));
        let output_gradient = coefficients(rows * width);
        let f = |h: &[f64], gain: &[f64], bias: &[f64]| downstream(&layer_norm(shape, h, gain, bias).output);
        let forward = layer_norm(shape, &h, &gain, &bias);
        if width > 1 {
            let dh = layer_norm_gradient(shape, &h, &gain, &forward, &output_gradient).value;
            check_gradient("dh", &h, &dh, |h| f(h, &gain, &bias));
            let parts = layer_norm_weight_gradient(
                shape,
                &h,
                &forward,
                &output_gradient,
                std::slice::from_ref(&(0..rows)),
            );
            check_gradient("dgain", &gain, &parts.gain.value, |gain| f(&h, gain, &bias));
        } else {
            // A single feature is its own mean.
            let dh = layer_norm_gradient(shape, &h, &gain, &forward, &output_gradient).value;
            assert!(dh.iter().all(|g| *g == 0.0));
        }
        let parts = layer_norm_weight_gradient(shape, &h, &forward, &output_gradient, &[0..1, 1..1, 1..rows]);
        let bias_gradient = reduce_partials(&parts.bias.value, 3, width).value;
        check_gradient("dbias", &bias, &bias_gradient, |bias| f(&h, &gain, bias));
        assert!(parts.gain.value[width..2 * width].iter().all(|g| *g == 0.0), "an empty range");
    }
}

#[test]
fn residual_sums_by_hand() {
    let (x, slope, skip) = ([1.0, -2.0], [3.0, 0.5], [-10.0, 4.0]);
    assert_eq!(add_residual(&x, None, Some(&skip)).value, [-9.0, 2.0]);
    assert_eq!(add_residual(&x, Some(&slope), None).value, [3.0, -1.0]);
    let both = add_residual(&x, Some(&slope), Some(&skip));
    assert_eq!((both.value, both.magnitude), (vec![-7.0, 3.0], vec![13.0, 5.0]));
}

/// A dense layer and every kind of block behind it, nested, over rows of 3.
fn deep_network(activation: Activation) -> Network {
    let dense = |inputs: usize, outputs: usize, activation| Block::Dense {
        weights: vec![0.0; inputs * outputs],
        bias: vec![0.0; outputs],
        activation,
    };
    let norm = || Block::Norm { gain: vec![0.0; 4], bias: vec![0.0; 4], epsilon: 0.1 };
    let normalizer = || dense(4, 4, Activation::Identity);
    let layers = vec![
        dense(3, 4, activation),
        Block::Residual(vec![
            norm(),
            Block::Activate(activation),
            dense(4, 5, activation),
            dense(5, 4, Activation::Identity),
            Block::Residual(vec![Block::Activate(activation), normalizer()]),
        ]),
        norm(),
        Block::Residual(vec![Block::Residual(vec![normalizer()])]),
        dense(4, 2, Activation::Identity),
    ];
    let network = Network { layers };
    let count = network.parameters().len();
    // Small enough that sums of eight layers keep their digits.
    network.with_parameters(&normals(23, count).iter().map(|p| 0.6 * p).collect::<Vec<_>>())
}

#[test]
fn deep_networks_backward_matches_differences() {
    // ReLU has its kinks where no data of a deep network can be kept from.
    for activation in Activation::ALL.into_iter().filter(is_smooth) {
        let network = deep_network(activation);
        assert_eq!(network.with_parameters(&network.parameters()), network);
        let rows = 3;
        let x = normals(24, rows * 3);
        let trace = network.forward(&x, rows);
        let gradient = network.backward(&trace, &coefficients(rows * 2));
        check_gradient("inputs", &x, &gradient.inputs, |x| downstream(&network.forward(x, rows).output));
        check_gradient("parameters", &network.parameters(), &gradient.parameters, |p| {
            downstream(&network.with_parameters(p).forward(&x, rows).output)
        });
    }
}

#[test]
fn a_plain_network_is_an_mlp() {
    let mlp = network(&[3, 6, 2], Activation::Gelu);
    let blocks = mlp.layers.iter().map(|layer| Block::Dense {
        weights: layer.weights.clone(),
        bias: layer.bias.clone(),
        activation: layer.activation,
    });
    let network = Network { layers: blocks.collect() };
    let x = normals(25, 4 * 3);
    let (trace, expected) = (network.forward(&x, 4), mlp.forward(&x));
    assert_eq!(trace.output, expected.output());
    let output_gradient = coefficients(8);
    let (gradient, expected) =
        (network.backward(&trace, &output_gradient), mlp.backward(&expected, &output_gradient));
    assert_eq!(gradient.parameters, flatten(&expected.layers));
    for (found, expected) in gradient.inputs.iter().zip(&expected.inputs) {
        near("inputs", *found, *expected, 1e-13);
    }
}

#[test]
fn initialize_fills_the_symmetric_interval() {
    assert_eq!(initialize(&[0.5, 0.75, 0.0, 1.0], 16, 2.0), [0.0, 0.25, -0.5, 0.5]);
}

#[test]
fn gradient_norm_clips_and_counts() {
    let g = [3.0, -4.0];
    let plain = prepare_step(&g, 0.0, 4, false);
    assert_eq!((plain.norm, plain.clip, plain.count), (5.0, 1.0, 5));
    assert_eq!(prepare_step(&g, 2.0, 4, false).clip, 0.4);
    assert_eq!(prepare_step(&g, 6.0, 4, false).clip, 1.0);
    assert_eq!(prepare_step(&g, 2.0, 4, true).count, 4);
    assert_eq!(prepare_step(&[0.0, 0.0], 2.0, 0, false).clip, 1.0);
}

#[test]
fn adam_by_hand() {
    let options = AdamOptions { weight_decay: 0.5, max_norm: 1.0, epsilon: 0.0, ..AdamOptions::default() };
    let mut run = AdamRun::new(options, vec![2.0, -1.0]);
    // The first bias-corrected direction is the sign of the gradient, whatever the clipping.
    assert_eq!(run.adam_step(&[3.0, -4.0], 0.1, 0.75), 5.0);
    let expected = [2.0 - 0.1 * (1.0 + 1.0), -1.0 - 0.1 * (-1.0 - 0.5)];
    for (i, start) in [2.0, -1.0].into_iter().enumerate() {
        near("p", run.state.parameters[i], expected[i], 1e-12);
        near("average", run.state.average[i], 0.75 * start + 0.25 * expected[i], 1e-12);
    }
    near("m", run.state.first[0], 0.1 * 0.6, 1e-15);
    near("v", run.state.second[1], 0.001 * 0.64, 1e-15);

    // Second step of the first parameter, clip 1: m = .9 .06 + .1 .5, v = .999 .00036 + .001 .25.
    let before = run.state.parameters[0];
    run.adam_step(&[0.5, 0.0], 0.1, 0.75);
    let (m, v): (f64, f64) = (0.104, 0.000_609_64);
    let direction = (m / 0.19) / (v / 0.001_999).sqrt();
    near("second step", run.state.parameters[0], before - 0.1 * (direction + 0.5 * before), 1e-12);
    assert_eq!(run.count, 2);
}

#[test]
fn adam_descends_a_quadratic() {
    let mut run = AdamRun::new(AdamOptions::default(), vec![1.5, -2.0, 0.7]);
    let loss = |p: &[f64]| p.iter().enumerate().map(|(i, p)| 0.5 * (i as f64 + 1.0) * p * p).sum::<f64>();
    let start = loss(&run.state.parameters);
    for _ in 0..400 {
        let gradient: Vec<f64> =
            run.state.parameters.iter().enumerate().map(|(i, p)| (i as f64 + 1.0) * p).collect();
        run.adam_step(&gradient, 0.02, 0.99);
    }
    assert!(loss(&run.state.parameters) < 1e-3 * start);
}

#[test]
fn fused_networks_equal_their_layers_and_difference_quotients() {
    let (contexts, candidates, dims) = (2, 3, 2);
    let rows = contexts * candidates;
    let outputs = [4, 3, 1];
    let (y, shift, scale) = (normals(1, rows * dims), [0.3, -0.7], [1.5, 0.6]);
    for activation in [Activation::Silu, Activation::Tanh, Activation::Softplus] {
        let layer = |index: u64, inputs: usize, starts: usize, activation| FusedLayer {
            weights: normals(10 + index, inputs * outputs[index as usize]),
            start: normals(20 + index, starts * outputs[index as usize]),
            activation,
        };
        let layers = [
            layer(0, dims, contexts, activation),
            layer(1, 4, 1, Activation::Gelu),
            layer(2, 3, 1, Activation::Identity),
        ];
        let f = |y: &[f64]| network_fused(y, (&shift, &scale), &layers, &outputs);
        let sum = |y: &[f64]| f(y).value.iter().sum::<f64>();
        check_gradient("y", &y, &f(&y).gradient, sum);
        // Row 4 alone, by hand: it belongs to the second context.
        let mut h: Vec<f64> = (0..dims).map(|j| (y[4 * dims + j] - shift[j]) * scale[j]).collect();
        for (index, layer) in layers.iter().enumerate() {
            let n = outputs[index];
            let start = if index == 0 { &layer.start[n..] } else { &layer.start[..] };
            let sums = (0..n).map(|o| {
                start[o] + h.iter().enumerate().map(|(i, h)| h * layer.weights[i * n + o]).sum::<f64>()
            });
            h = sums.map(|z| layer.activation.value(z)).collect();
        }
        near("row 4", f(&y).value[4], h[0], 1e-13);
    }
}
