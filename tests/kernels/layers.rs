//! Floor 2: norms, activations of their own, residual sums, and gradients added to others.

use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, Shape, pad4};
use gibbs::nn::network::initialize;
use gibbs::nn::passes::layer_norm::LayerNormForward;
use gibbs::nn::passes::layer_norm_gradient::Normalized;
use gibbs::nn::passes::{
    activate_rows, add_residual, layer_norm, layer_norm_gradient, layer_norm_weight_gradient, reduce_partials,
};
use gibbs::nn::{Activation, GradientMode, Initial, Input, LayerNorm, Network, Norms, ParameterSlice};
use gibbs::testing::Bound;
use gibbs_reference::gpu::run::random::{Draw, uniform};
use gibbs_reference::nn as reference;
use gibbs_reference::nn::dense::dense_forward::DenseForward;
use gibbs_reference::nn::passes::layer_norm::NormShape;

use super::SHAPES;
use super::dense::{ACTIVATIONS, Coverage, Way, expect_activated, own_error};
use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, data, every_adapter, pack, unpack, wide};

every_adapter!(
    activate_rows_equals_the_reference,
    activations_are_as_exact_as_stated,
    add_residual_equals_the_reference,
    layer_norm_equals_the_reference,
    layer_norm_centers_before_it_squares,
    layer_norm_gradient_equals_the_reference,
    layer_norm_weight_gradient_equals_the_reference,
    reduce_partials_adds_to_a_gradient,
    initialize_sets_gains_to_one_and_their_biases_to_zero,
);

fn activate_rows_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Coverage::default();
    for (index, (rows, width)) in SHAPES.into_iter().chain([(3, 4096), (4099, 5)]).enumerate() {
        for (at, (activation, expected)) in ACTIVATIONS.into_iter().enumerate() {
            let keep_slope = (index + at) % 2 == 0;
            let values: Vec<f32> = data(30, rows * width).iter().map(|v| 4.0 * v).collect();
            let mut case = Case::new(adapter, format!("activate {rows}x{width} {activation:?} {keep_slope}"));
            let h = case.packed("h", rows, width, &values);
            let written = activate_rows::record(&mut case.recording, h, activation, keep_slope).unwrap();
            case.output("output", written.output);
            assert_eq!(written.slope.is_some(), keep_slope);
            if let Some(slope) = written.slope {
                case.output("slope", slope);
            }
            case.expect_kernels(&["activate_rows"]);
            coverage.add(&case.recording.kernels()[0]);
            let results = case.run();
            let exact = reference::activate_rows(&wide(&values), expected);
            let bound = Bound::relative(own_error(expected) + EPS, 1e-30);
            results.expect("output", &results.packed("output"), &exact.output, bound);
            if keep_slope {
                let bound = Bound::relative(own_error(expected), 2e-6);
                results.expect("slope", &results.packed_inside("slope"), &exact.slope, bound);
            }
        }
    }
    coverage.expect_complete("activate_rows");
}

/// On a fine grid and at the ends of f32: erf within 5e-7, hence GELU within 2.5e-7 |x|, softplus
/// within 2e-6 of itself wherever exp is.
/// The others within their own error of themselves; slopes too but for 1e-6 of theirs.
fn activations_are_as_exact_as_stated(adapter: &Adapter) {
    let grid = (-6000..=6000).map(|at| at as f32 / 400.0);
    let ends = [1e-30f32, 1e-8, 20.0, 87.5, 104.0, 1e4, 1e20, 3e38].into_iter().flat_map(|v| [v, -v]);
    let values: Vec<f32> = grid.chain(ends).collect();
    for (activation, expected) in ACTIVATIONS.into_iter().skip(4) {
        let mut case = Case::new(adapter, format!("{activation:?} on a grid"));
        let h = case.packed("h", 1, values.len(), &values);
        let written = activate_rows::record(&mut case.recording, h, activation, true).unwrap();
        case.output("output", written.output);
        case.output("slope", written.slope.unwrap());
        let results = case.run();
        let exact = reference::activate_rows(&wide(&values), expected);
        let bound = |at: usize| {
            let (size, value) = (f64::from(values[at].abs()), exact.output[at].abs());
            match activation {
                Activation::Gelu => 2.5e-7 * size.min(20.0) + EPS * value + 1e-30,
                // Where exp stops at 1.6e-38, so do these.
                _ => own_error(expected) * value + 2e-36,
            }
        };
        results.expect("output", &results.packed("output"), &exact.output, bound);
        let bound = match activation {
            Activation::Gelu => Bound::relative(0.0, 1e-6),
            _ => Bound::relative(own_error(expected).max(EPS), 2e-6),
        };
        results.expect("slope", &results.packed_inside("slope"), &exact.slope, bound);
    }
}

fn add_residual_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Coverage::default();
    for (rows, width) in SHAPES {
        for (slope, skip) in [(false, true), (true, false), (true, true)] {
            let values = data(31, rows * width);
            let mut case = Case::new(adapter, format!("residual sum {rows}x{width} {slope} {skip}"));
            let x = case.packed("x", rows, width, &values);
            let way = Way::new(&mut case, rows, width, slope, skip);
            let out = add_residual::record(&mut case.recording, x, way.epilogue).unwrap();
            case.output("out", out);
            case.expect_kernels(&["add_residual"]);
            coverage.add(&case.recording.kernels()[0]);
            let results = case.run();
            let values = wide(&values);
            let magnitude = values.iter().map(|v| v.abs()).collect();
            way.expect(&results, &reference::Summed { value: values, magnitude }, 1);
        }
    }
    coverage.expect_complete("add_residual");
}

const EPSILON: f32 = 1e-3;

/// A norm amid NaN, so that a read outside its slices shows.
struct Norm {
    width: usize,
    gain: ParameterSlice,
    bias: ParameterSlice,
    gains: Vec<f32>,
    biases: Vec<f32>,
    flat: Vec<f32>,
}

impl Norm {
    fn new(width: usize) -> Self {
        let slice = |name: &str, offset, value| ParameterSlice {
            name: name.into(),
            offset,
            rows: 1,
            columns: width,
            stride: pad4(width),
            fan_in: width,
            initial: Initial::Constant(value),
        };
        let (gain, bias) = (slice("gain", 8, 1.0), slice("bias", 12 + pad4(width), 0.0));
        let (gains, biases) = (data(32, width), data(33, width));
        let mut flat = vec![f32::NAN; bias.offset + bias.stride + 4];
        flat[gain.offset..gain.offset + gain.stride].copy_from_slice(&pack(&gains, 1, width));
        flat[bias.offset..bias.offset + bias.stride].copy_from_slice(&pack(&biases, 1, width));
        Self { width, gain, bias, gains, biases, flat }
    }

    fn shape(&self, rows: usize) -> NormShape {
        NormShape { rows, width: self.width, epsilon: f64::from(EPSILON) }
    }

    fn forward(&self, rows: usize, h: &[f32]) -> reference::layer_norm::LayerNorm {
        reference::layer_norm(self.shape(rows), &wide(h), &wide(&self.gains), &wide(&self.biases))
    }

    /// The norm's input and exact moments, rounded, as a backward pass reads them.
    fn normalized(&self, case: &mut Case, rows: usize, h: &[f32]) -> Normalized {
        let forward = self.forward(rows, h);
        let moments: Vec<f32> =
            forward.mean.iter().zip(&forward.rstd).flat_map(|(m, d)| [*m as f32, *d as f32]).collect();
        Normalized {
            h: case.packed("h", rows, self.width, h),
            moments: case.input("moments", [rows, 2], &moments),
        }
    }
}

/// Rows of one number, and numbers whose mean is far from 0.
fn norm_data(rows: usize, width: usize) -> Vec<f32> {
    data(34, rows * width).iter().map(|v| 3.0 * v - 1.5).collect()
}

const NORMS: [(usize, usize); 11] = [
    (1, 1),
    (7, 1),
    (1, 7),
    (63, 63),
    (64, 64),
    (65, 65),
    (257, 7),
    (7, 257),
    (1025, 33),
    (3, 4096),
    (2, 4095),
];

fn layer_norm_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Coverage::default();
    for class in CLASSES {
        for (index, (rows, width)) in NORMS.into_iter().enumerate() {
            for (at, (activation, exact)) in ACTIVATIONS.into_iter().enumerate() {
                let keep_slope = (index + at) % 2 == 0;
                let norm = Norm::new(width);
                let h = norm_data(rows, width);
                let label = format!("norm {rows}x{width} {class:?} {activation:?} {keep_slope}");
                let mut case = Case::tuned(adapter, class, label);
                let input = case.packed("h", rows, width, &h);
                let parameters = case.input("parameters", [norm.flat.len()], &norm.flat);
                let (gain, bias) = (&norm.gain, &norm.bias);
                let spec =
                    LayerNormForward { parameters, gain, bias, epsilon: EPSILON, activation, keep_slope };
                let written = layer_norm::record(&mut case.recording, input, &spec).unwrap();
                case.output("output", written.output);
                case.output("moments", written.moments);
                assert_eq!(written.slope.is_some(), keep_slope);
                if let Some(slope) = written.slope {
                    case.output("slope", slope);
                }
                case.expect_kernels(&["layer_norm"]);
                coverage.add(&case.recording.kernels()[0]);
                let results = case.run();

                let forward = norm.forward(rows, &h);
                let activated = reference::activate_rows(&forward.output, exact);
                let expected = DenseForward {
                    output: activated.output,
                    slope: activated.slope,
                    sum: forward.output,
                    // The deviations and their root each add an error like that of the mean.
                    magnitude: forward.magnitude.iter().map(|size| 3.0 * size).collect(),
                };
                expect_activated(&results, &expected, exact, width, keep_slope);
                let moments: Vec<f64> =
                    forward.mean.iter().zip(&forward.rstd).flat_map(|(m, d)| [*m, *d]).collect();
                let relative = EPS * ((width as f64).sqrt() + 8.0);
                let bound =
                    |at: usize| relative * if at.is_multiple_of(2) { 4.5 } else { 4.0 * moments[at].powi(2) };
                results.expect("moments", &results.get("moments"), &moments, bound);
            }
        }
    }
    coverage.expect_complete("layer_norm");
}

/// Far from 0 the square of the mean would swallow the variance, and a constant row has none.
fn layer_norm_centers_before_it_squares(adapter: &Adapter) {
    for class in CLASSES {
        for (rows, width) in [(5, 65), (3, 257)] {
            let norm = Norm::new(width);
            let mut h: Vec<f32> = data(35, rows * width).iter().map(|v| 4096.0 + v).collect();
            h[width..2 * width].fill(-1e4);
            let mut case = Case::tuned(adapter, class, format!("norm far from 0 {rows}x{width} {class:?}"));
            let input = case.packed("h", rows, width, &h);
            let parameters = case.input("parameters", [norm.flat.len()], &norm.flat);
            let spec = LayerNormForward {
                parameters,
                gain: &norm.gain,
                bias: &norm.bias,
                epsilon: EPSILON,
                activation: Activation::Identity,
                keep_slope: false,
            };
            let written = layer_norm::record(&mut case.recording, input, &spec).unwrap();
            case.output("output", written.output);
            let results = case.run();
            // The mean is rounded to 4.9e-4, the spacing at 4096, over a deviation of about 0.6.
            // What a constant row leaves is the bias.
            results.expect(
                "output",
                &results.packed("output"),
                &norm.forward(rows, &h).output,
                |at: usize| {
                    if at / width == 1 { EPS } else { 2e-3 }
                },
            );
        }
    }
}

fn layer_norm_gradient_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Coverage::default();
    for class in CLASSES {
        for (index, (rows, width)) in NORMS.into_iter().enumerate() {
            for (slope, skip) in [(false, index % 2 == 0), (true, index % 2 == 1)] {
                let norm = Norm::new(width);
                let (h, dz) = (norm_data(rows, width), data(36, rows * width));
                let label = format!("norm gradient {rows}x{width} {class:?} {slope} {skip}");
                let mut case = Case::tuned(adapter, class, label);
                let seed = case.packed("dz", rows, width, &dz);
                let parameters = case.input("parameters", [norm.flat.len()], &norm.flat);
                let normalized = norm.normalized(&mut case, rows, &h);
                let way = Way::new(&mut case, rows, width, slope, skip);
                let recording = &mut case.recording;
                let out = layer_norm_gradient::record(
                    recording,
                    seed,
                    normalized,
                    parameters,
                    &norm.gain,
                    way.epilogue,
                );
                case.output("out", out.unwrap());
                case.expect_kernels(&["layer_norm_gradient"]);
                coverage.add(&case.recording.kernels()[0]);
                let results = case.run();
                let forward = norm.forward(rows, &h);
                let gain = wide(&norm.gains);
                let mut expected =
                    reference::layer_norm_gradient(norm.shape(rows), &wide(&h), &gain, &forward, &wide(&dz));
                // The rounded moments come into each term.
                expected.magnitude.iter_mut().for_each(|size| *size *= 4.0);
                way.expect(&results, &expected, width);
            }
        }
    }
    coverage.expect_complete("layer_norm_gradient");
}

fn layer_norm_weight_gradient_equals_the_reference(adapter: &Adapter) {
    for (rows, width) in NORMS {
        // Five splits of seven rows: the last one is empty.
        for splits in [1, 5] {
            let norm = Norm::new(width);
            let (h, dz) = (norm_data(rows, width), data(37, rows * width));
            let mut case =
                Case::new(adapter, format!("norm weight gradient {rows}x{width}, {splits} splits"));
            let seed = case.packed("dz", rows, width, &dz);
            let normalized = norm.normalized(&mut case, rows, &h);
            let length = norm.flat.len();
            let partials = case.poisoned("partials", DType::F32, [splits, length]);
            let (recording, slices) = (&mut case.recording, (&norm.gain, &norm.bias));
            layer_norm_weight_gradient::record(recording, seed, normalized, slices, partials).unwrap();
            case.expect_kernels(&["layer_norm_weight_gradient"]);
            let results = case.run();

            let each = rows.div_ceil(splits);
            let ranges: Vec<_> =
                (0..splits).map(|s| (s * each).min(rows)..((s + 1) * each).min(rows)).collect();
            let forward = norm.forward(rows, &h);
            let expected = reference::layer_norm_weight_gradient(
                norm.shape(rows),
                &wide(&h),
                &forward,
                &wide(&dz),
                &ranges,
            );
            let found: Vec<f32> = results.get("partials");
            // The rounded moments move a term by the spacing of the row's largest number over its
            // deviation.
            let rounding = |at: usize| {
                let terms = ranges[at / width].clone();
                terms
                    .map(|r| 6.0 * EPS * forward.rstd[r] * f64::from(dz[r * width + at % width].abs()))
                    .sum::<f64>()
            };
            for (slice, sums) in [(&norm.gain, &expected.gain), (&norm.bias, &expected.bias)] {
                let values: Vec<f32> = found
                    .chunks_exact(length)
                    .flat_map(|part| unpack(&part[slice.offset..][..slice.stride], 1, width).unwrap())
                    .collect();
                let Bound::Each(sizes) = Bound::sum(&sums.magnitude, each + 2) else { unreachable!() };
                results.expect(&slice.name, &values, &sums.value, |at: usize| sizes[at] + rounding(at));
            }
            let foreign = (0..splits * length).filter(|at| {
                let p = at % length;
                ![&norm.gain, &norm.bias].iter().any(|s| (s.offset..s.offset + s.stride).contains(&p))
            });
            results.expect_untouched("partials", foreign);
        }
    }
}

fn reduce_partials_adds_to_a_gradient(adapter: &Adapter) {
    for (splits, parameters) in [(1, 4), (7, 28), (5, 260), (3, 1028)] {
        let (values, before) = (data(38, splits * parameters), data(39, parameters));
        let mut case = Case::new(adapter, format!("accumulate {splits}x{parameters}"));
        let partials = case.input("partials", [splits, parameters], &values);
        let gradient = case.input("gradient", [parameters], &before);
        let mode = GradientMode::Accumulate(gradient);
        let out = reduce_partials::record(&mut case.recording, partials, mode).unwrap();
        assert_eq!(out, gradient);
        case.expect_kernels(&["reduce_partials"]);
        let results = case.run();
        let all: Vec<f64> = wide(&[&before[..], &values].concat());
        let expected = reference::reduce_partials(&all, splits + 1, parameters);
        let bound = Bound::sum(&expected.magnitude, splits + 1);
        results.expect("gradient", &results.get("gradient"), &expected.value, bound);
    }
    let mut case = Case::new(adapter, "accumulate into nothing");
    let partials = case.input("partials", [1, 4], &[1.0f32; 4]);
    let unwritten = case.recording.scratch("gradient", DType::F32, [4]);
    let short = case.input("short", [8], &[1.0f32; 8]);
    for (gradient, words) in [(unwritten, "holds nothing yet"), (short, "[8]")] {
        let mode = GradientMode::Accumulate(gradient);
        let error = reduce_partials::record(&mut case.recording, partials, mode).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
    assert!(case.recording.is_empty());
}

fn initialize_sets_gains_to_one_and_their_biases_to_zero(adapter: &Adapter) {
    let network = Network::preactivation(vec![Input::new("x", 3)], 7, 1, Activation::Gelu, 1)
        .with_norms(Norms::BeforeActivations(LayerNorm::default()));
    let layout = network.layout();
    let (seed, step) = (0xfeed_0000_0011, 2);
    let mut case = Case::new(adapter, "initialize norms");
    case.run_state(seed, step);
    let parameters = case.poisoned("parameters", DType::F32, [layout.len]);
    initialize::record(&mut case.recording, &layout, parameters, "initialise/test").unwrap();
    let results = case.run();
    let flat: Vec<f32> = results.get("parameters");
    let names: Vec<&str> = layout.slices.iter().map(|slice| slice.name.as_str()).collect();
    let block = ["0.gain", "0.bias", "2.weight", "2.bias", "3.gain", "3.bias", "5.weight", "5.bias"];
    let mut expected = vec!["layers.0.weight.x".to_owned(), "layers.0.bias".to_owned()];
    expected.extend(block.map(|name| format!("layers.1.{name}")));
    expected.extend(["layers.2.weight".to_owned(), "layers.2.bias".to_owned()]);
    assert_eq!(names, expected);
    let mut inside = vec![false; layout.len];
    for (index, slice) in layout.slices.iter().enumerate() {
        let found = layout.extract(slice, &flat);
        let norm = slice.name.starts_with("layers.1.0") || slice.name.starts_with("layers.1.3");
        if norm {
            let value = if slice.name.ends_with("gain") { 1.0 } else { 0.0 };
            assert!(found.iter().all(|v| *v == value), "{}: {}: {found:?}", adapter.name, slice.name);
        } else {
            let count = slice.rows * slice.columns;
            let stream = u32::from(stream_id("initialise/test"));
            let uniforms =
                uniform(Draw { seed, step, stream, inner: index as u32 }, count.div_ceil(4) as u32);
            let expected = reference::initialize(&uniforms[..count], slice.fan_in, 1.0);
            results.expect(&slice.name, &found, &expected, |_: usize| 2.0 * EPS);
        }
        for row in 0..slice.rows {
            inside[slice.offset + row * slice.stride..][..slice.columns].fill(true);
        }
    }
    results.expect_untouched("parameters", (0..layout.len).filter(|&at| !inside[at]));
    assert_eq!(Shape::packed(1, 7).stride(), 8, "a layout with padding");
}
