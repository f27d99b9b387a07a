//! Floor 2: dense layers and optimisers.

use std::collections::{BTreeMap, BTreeSet};

use gibbs::gpu::random::stream_id;
use gibbs::gpu::{
    Column, DType, DeviceClass, KernelVariant, MetricsRing, Recording, Shape, Tuning, TuningFile, pad4,
};
use gibbs::nn::adam::{AdamBuffers, AdamConstants};
use gibbs::nn::dense_forward::{DenseForward, Start};
use gibbs::nn::dense_input_gradient::Onward;
use gibbs::nn::gradient_norm::GradientNorm;
use gibbs::nn::sum_candidates::{CandidateRange, Carry};
use gibbs::nn::{
    Activation, Affine, DenseOperation, FlatGradient, Fourier, FourierColumns, GradientMode, Initial, Input,
    Network, Slice, WatchedLoss, adam, dense_forward, dense_input_gradient, dense_weight_gradient,
    fourier_features, fourier_gradient, gradient_norm, initialise, pack_inputs, reduce_partials,
    sum_candidates, unpack_gradient,
};
use gibbs::testing::Bound;
use gibbs_reference::gpu::random::{Draw, uniform};
use gibbs_reference::nn as reference;
use gibbs_reference::nn::Activation::{Gelu, Identity, Relu, Silu, Softplus, Tanh};
use gibbs_reference::nn::DenseShape;
use gibbs_reference::nn::adam::{AdamState, AdamStep};
use gibbs_reference::nn::dense_forward::Init;

use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, POISON, Results, data, every_adapter, pack, wide};

every_adapter!(
    pack_inputs_normalises_and_zeroes_its_padding,
    unpack_gradient_scales,
    fourier_features_keep_their_accuracy,
    c19_fourier_features_of_diffusion_times,
    fourier_features_are_finite_for_every_finite_input,
    fourier_features_normalise_and_keep_the_input,
    fourier_gradient_equals_the_reference,
    dense_forward_equals_the_reference,
    activations_are_finite_far_out,
    dense_input_gradient_equals_the_reference,
    dense_weight_gradient_equals_the_reference,
    every_dense_variant_equals_the_reference,
    sum_candidates_equals_the_reference,
    sums_of_ranges_of_rows_equal_those_of_all,
    sums_over_more_candidates_than_a_loop_may_count,
    reduce_partials_equals_the_reference,
    gradient_norm_clips_and_counts,
    gradient_norm_does_not_overflow,
    gradient_norm_calls_a_bad_step_off,
    gradient_norm_adds_partial_gradients_up,
    gradient_norm_watches_losses,
    adam_equals_the_reference,
    adam_waits_while_called_off,
    initialise_draws_every_slice_and_leaves_the_padding,
);

/// Odd row counts and widths round multiples of vec4, workgroup and block sizes.
pub const SHAPES: [(usize, usize); 9] =
    [(1, 1), (1, 257), (7, 7), (63, 1), (64, 64), (65, 63), (257, 65), (257, 2), (1025, 7)];

fn affine(width: usize) -> Affine {
    let scale = data(71, width).iter().map(|v| 1.5 + v).collect();
    Affine { shift: data(70, width), scale }
}

fn pack_inputs_normalises_and_zeroes_its_padding(adapter: &Adapter) {
    for (rows, width) in SHAPES {
        let affine = affine(width);
        let values = data(1, rows * width);
        let mut case = Case::new(adapter, format!("pack {rows}x{width}"));
        let x = case.input("x", [rows, width], &values);
        let out = pack_inputs::record(&mut case.recording, x, &affine).unwrap();
        case.output("out", out);
        case.expect_kernels(&["pack_inputs"]);
        let results = case.run();
        let expected = reference::pack_inputs(&wide(&values), &wide(&affine.shift), &wide(&affine.scale));
        // A difference and a product.
        let bound = |at: usize| {
            let j = at % width;
            2.0 * EPS * f64::from((values[at].abs() + affine.shift[j].abs()) * affine.scale[j])
        };
        results.expect("out", &results.packed("out"), &expected, bound);
    }
}

fn unpack_gradient_scales(adapter: &Adapter) {
    for (rows, width) in SHAPES {
        let affine = affine(width);
        let values = data(2, rows * width);
        let mut case = Case::new(adapter, format!("unpack {rows}x{width}"));
        let dz = case.packed("dz", rows, width, &values);
        let shape = Shape::new([rows, 1, width]);
        let out = unpack_gradient::record(&mut case.recording, dz, &affine, shape).unwrap();
        case.output("dx", out);
        case.expect_kernels(&["unpack_gradient"]);
        let results = case.run();
        let expected = reference::unpack_gradient(&wide(&values), &wide(&affine.scale));
        results.expect("dx", &results.get("dx"), &expected, Bound::relative(EPS, 0.0));
    }
}

/// Times in 0 to 1 and their negatives, the ends among them, and frequencies up to 100.
fn times(rows: usize, width: usize) -> Vec<f32> {
    let mut values = data(72, rows * width);
    let edges = [0.0, 1.0, -1.0, 0.5, 0.25, -0.125, 1e-30, -1e-7, 0.999_999_94, f32::MIN_POSITIVE];
    values.iter_mut().step_by(3).zip(edges).for_each(|(value, edge)| *value = edge);
    values
}

fn frequencies(width: usize, count: usize) -> Vec<f32> {
    let mut values: Vec<f32> = data(73, width * count).iter().map(|v| 100.0 * v).collect();
    let edges = [100.0, -100.0, 0.0, 1.0, 99.999_99, 1e-3];
    values.iter_mut().step_by(2).zip(edges).for_each(|(value, edge)| *value = edge);
    values
}

fn fourier_features_keep_their_accuracy(adapter: &Adapter) {
    for (rows, width, count) in [
        (1, 1, 1),
        (7, 1, 7),
        (63, 1, 64),
        (64, 2, 3),
        (65, 3, 65),
        (257, 5, 6),
        (257, 7, 33),
        (1025, 1, 257),
    ] {
        let fourier = Fourier { frequencies: frequencies(width, count), ..Fourier::new(vec![0.0; count]) };
        let values = times(rows, width);
        let identity = Affine::identity(width);
        let mut case = Case::new(adapter, format!("Fourier features {rows}x{width}x{count}"));
        let x = case.input("x", [rows, width], &values);
        let out = fourier_features::record(&mut case.recording, x, &identity, &fourier).unwrap();
        case.output("out", out);
        case.expect_kernels(&["fourier_features"]);
        let results = case.run();
        let expected = reference::fourier_features(
            &wide(&values),
            &wide(&identity.shift),
            &wide(&identity.scale),
            &wide(&fourier.frequencies),
            0,
        );
        results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 5e-7));
    }
}

/// C19: times in [0, 1] and frequencies up to 100 turns per unit; asked is 1e-4 of f64.
fn c19_fourier_features_of_diffusion_times(adapter: &Adapter) {
    let values: Vec<f32> = (0..=1000).map(|at| at as f32 / 1000.0).collect();
    let random = Fourier::gaussian(1, 16, 30.0, 1).frequencies;
    let fourier = Fourier::new(random.into_iter().chain([100.0, -100.0, 99.99, 1e-3]).collect());
    assert!(fourier.frequencies.iter().all(|frequency| frequency.abs() <= 100.0));
    let mut case = Case::new(adapter, "Fourier features of times");
    let x = case.input("x", [values.len(), 1], &values);
    let out = fourier_features::record(&mut case.recording, x, &Affine::identity(1), &fourier).unwrap();
    case.output("out", out);
    let results = case.run();
    let expected =
        reference::fourier_features(&wide(&values), &[0.0], &[1.0], &wide(&fourier.frequencies), 0);
    results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 1e-4));
}

fn fourier_features_are_finite_for_every_finite_input(adapter: &Adapter) {
    let edges = [0.0, f32::MIN_POSITIVE, 1e-20, 1e-3, 0.3, 1.0, 4097.3, 1.6e7, 2.9e9, 1e20, 3e30, f32::MAX];
    let values: Vec<f32> = edges.iter().flat_map(|&v| [v, -v]).collect();
    let fourier = Fourier::new(values.clone());
    let mut case = Case::new(adapter, "Fourier features far out");
    let x = case.input("x", [values.len(), 1], &values);
    let out = fourier_features::record(&mut case.recording, x, &Affine::identity(1), &fourier).unwrap();
    case.output("out", out);
    // Products of 1e36 and more overflow in the normaliser: any finite feature will do.
    let wild = Affine { shift: vec![-f32::MAX], scale: vec![1e36] };
    let out = fourier_features::record(&mut case.recording, x, &wild, &fourier).unwrap();
    case.output("wild", out);
    let stray = case.input("stray", [3, 2], &[1.0, 0.5, f32::NAN, 0.5, 0.5, f32::INFINITY]);
    let narrow = Fourier { frequencies: vec![1.0, 2.0], ..Fourier::new(vec![0.0; 1]) };
    let out = fourier_features::record(&mut case.recording, stray, &Affine::identity(2), &narrow).unwrap();
    case.output("strays", out);
    let results = case.run();
    // Exact at any size: products of two f32 are exact in f64, and so is their remainder.
    let at = wide(&values);
    let expected = reference::fourier_features(&at, &[0.0], &[1.0], &at, 0);
    results.expect("out", &results.packed("out"), &expected, Bound::relative(0.0, 5e-7));
    assert!(results.packed("wild").iter().all(|v| v.abs() <= 1.000_001), "{}", adapter.name);
    let strays: Vec<f32> = results.get("strays");
    let finite: Vec<bool> =
        strays.chunks_exact(4).map(|row| row[..2].iter().all(|v| v.is_finite())).collect();
    assert_eq!(finite, [true, false, false], "{}: a non-finite input must show", adapter.name);
}

fn fourier_features_normalise_and_keep_the_input(adapter: &Adapter) {
    for (rows, width) in SHAPES.into_iter().filter(|(_, width)| *width < 100) {
        let affine = affine(width);
        let count = 1 + rows % 5;
        let fourier = Fourier::gaussian(width, count, 2.0, 9).with_columns(FourierColumns::FeaturesAndInput);
        let values = data(74, rows * width);
        let mut case = Case::new(adapter, format!("Fourier features with input {rows}x{width}x{count}"));
        let x = case.input("x", [rows, 1, width], &values);
        let out = fourier_features::record(&mut case.recording, x, &affine, &fourier).unwrap();
        case.output("out", out);
        let results = case.run();
        let matrix = wide(&fourier.frequencies);
        let (shift, scale) = (wide(&affine.shift), wide(&affine.scale));
        let expected = reference::fourier_features(&wide(&values), &shift, &scale, &matrix, width);
        // The normaliser's difference and product round, and the frequency multiplies that.
        let rounding = |i: usize, row: usize| {
            2.0 * EPS * (wide(&values)[row * width + i].abs() + shift[i].abs()) * scale[i]
        };
        let encoded = 2 * count + width;
        let bounds: Vec<f64> = (0..rows * encoded)
            .map(|at| match (at / encoded, at % encoded) {
                (row, j) if j >= 2 * count => rounding(j - 2 * count, row),
                (row, j) => {
                    let moved = |i: usize| matrix[i * count + j / 2].abs() * rounding(i, row);
                    5e-7 + std::f64::consts::TAU * (0..width).map(moved).sum::<f64>()
                }
            })
            .collect();
        results.expect("out", &results.packed("out"), &expected, |at: usize| bounds[at]);
    }
}

fn fourier_gradient_equals_the_reference(adapter: &Adapter) {
    for (index, (rows, width)) in SHAPES.into_iter().enumerate() {
        let affine = affine(width);
        let count = [1, 7, 64, 33, 5, 65, 2, 257, 3][index];
        let columns = [FourierColumns::Features, FourierColumns::FeaturesAndInput][index % 2];
        let kept = if index % 2 == 0 { 0 } else { width };
        let fourier = Fourier { frequencies: frequencies(width, count), count, columns };
        let encoded = 2 * count + kept;
        let (dz, features) = (data(75, rows * encoded), data(76, rows * encoded));
        let mut case = Case::new(adapter, format!("Fourier gradient {rows}x{width}x{count}"));
        let seed = case.packed("dz", rows, encoded, &dz);
        let given = case.packed("features", rows, encoded, &features);
        let shape = Shape::new([rows, 1, width]);
        let recording = &mut case.recording;
        let dx = fourier_gradient::record(recording, seed, given, &affine, &fourier, shape).unwrap();
        case.output("dx", dx);
        case.expect_kernels(&["fourier_gradient"]);
        let results = case.run();
        let (scale, matrix) = (wide(&affine.scale), wide(&fourier.frequencies));
        let expected = reference::fourier_gradient(&wide(&dz), &wide(&features), &scale, &matrix, kept);
        let bound = Bound::sum(&expected.magnitude, 2 * count + 4);
        results.expect("dx", &results.get("dx"), &expected.value, bound);
    }
}

/// A layer amid NaN, so that a read outside its slices shows.
struct Layer {
    inputs: usize,
    outputs: usize,
    weight: Slice,
    bias: Slice,
    weights: Vec<f32>,
    biases: Vec<f32>,
    flat: Vec<f32>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize) -> Self {
        let slice = |name: &str, offset, rows| Slice {
            name: name.into(),
            offset,
            rows,
            columns: outputs,
            stride: pad4(outputs),
            fan_in: inputs,
            initial: Initial::Uniform,
        };
        // Where a uniform buffer may begin; behind the bias, room for what it may hold beyond the matrix.
        let weight = slice("weight", 64, inputs);
        let bias = slice("bias", 68 + pad4(inputs) * pad4(outputs), 1);
        let (weights, biases) = (data(3, inputs * outputs), data(4, outputs));
        let mut flat = vec![f32::NAN; 2 * (bias.offset + bias.stride)];
        flat[weight.offset..weight.offset + pad4(inputs) * weight.stride].fill(0.0);
        for (i, row) in weights.chunks_exact(outputs).enumerate() {
            flat[weight.offset + i * weight.stride..][..outputs].copy_from_slice(row);
        }
        flat[bias.offset..bias.offset + bias.stride].copy_from_slice(&pack(&biases, 1, outputs));
        Self { inputs, outputs, weight, bias, weights, biases, flat }
    }

    fn shape(&self, rows: usize) -> DenseShape {
        DenseShape { rows, inputs: self.inputs, outputs: self.outputs }
    }
}

/// The device's activation and the reference's.
pub const ACTIVATIONS: [(Activation, reference::Activation); 6] = [
    (Activation::Identity, reference::Activation::Identity),
    (Activation::Relu, reference::Activation::Relu),
    (Activation::Silu, reference::Activation::Silu),
    (Activation::Tanh, reference::Activation::Tanh),
    (Activation::Gelu, reference::Activation::Gelu),
    (Activation::Softplus, reference::Activation::Softplus),
];

/// Rows, inputs, outputs: every width of the issue, and both sides of each border in the variant table.
const DENSE: [(usize, usize, usize); 19] = [
    (1, 1, 1),
    (1, 257, 65),
    (7, 7, 7),
    (7, 64, 1),
    (63, 1, 63),
    (64, 64, 64),
    (65, 63, 257),
    (65, 4, 5),
    (257, 65, 2),
    (257, 7, 64),
    (65, 128, 128),
    (63, 257, 67),
    (65, 9, 17),
    (1025, 65, 63),
    (1025, 17, 7),
    (1025, 7, 1),
    (1025, 3, 65),
    (2051, 2, 65),
    (4099, 33, 65),
];

/// The variants of a kernel that tests ran, to be compared with those that the library lists.
#[derive(Default)]
pub struct Coverage {
    blocks: BTreeSet<Vec<(&'static str, u32)>>,
    choices: BTreeSet<Vec<(&'static str, u32)>>,
}

impl Coverage {
    pub fn add(&mut self, kernel: &KernelVariant) {
        // Whether a matrix is uniform, and its length, go by the shape.
        let by_shape = |name: &str| ["UNIFORM_WEIGHTS", "WEIGHTS4"].contains(&name);
        let own = kernel.defines.iter().filter(|define| !by_shape(define.name));
        let all = own.map(|define| (define.name, define.value));
        let choice = |name: &str| ["ACTIVATION", "INIT", "SLOPE", "SKIP", "BIAS"].contains(&name);
        let (mut choices, mut blocks): (Vec<_>, Vec<_>) = all.partition(|(name, _)| choice(name));
        choices.sort_unstable();
        blocks.sort_unstable();
        self.blocks.insert(blocks);
        self.choices.insert(choices);
    }

    /// Every block size and every combination of the other choices must have run, though not each with each.
    pub fn expect_complete(&self, stem: &str) {
        let mut listed = Coverage::default();
        gibbs::kernels().iter().filter(|kernel| kernel.source.stem() == stem).for_each(|k| listed.add(k));
        assert_eq!(self.blocks, listed.blocks, "block sizes of {stem}");
        assert_eq!(self.choices, listed.choices, "choices of {stem}");
    }
}

/// How a test's dense layer is chosen its variant.
#[derive(Clone, Debug)]
enum Chosen {
    /// By the table of a class of devices.
    Table(DeviceClass),
    /// By its name.
    Named(String),
}

/// One dense test.
#[derive(Clone, Debug)]
struct Dense {
    index: usize,
    chosen: Chosen,
    shape: (usize, usize, usize),
}

/// [`DENSE`] for each class of devices, for the tiled variant and for those by subgroups that the device can run, numbered.
fn dense_cases(adapter: &Adapter, operation: DenseOperation) -> Vec<Dense> {
    let names = operation.variants(&adapter.gpu.target());
    let named = |kind: &str| -> Vec<Chosen> {
        names.iter().filter(|name| name.starts_with(kind)).cloned().map(Chosen::Named).collect()
    };
    let all = CLASSES.into_iter().map(Chosen::Table).chain(named("tiled"));
    let all = all.flat_map(|chosen| DENSE.into_iter().map(move |shape| (chosen.clone(), shape)));
    // The blocks of the others take turns: each compiles for seconds, and `every_dense_variant_equals_the_reference` runs all shapes.
    let blocks = named("subgroup");
    let turns = blocks.iter().cycle().cloned().zip(DENSE);
    let all = all.chain(turns);
    all.enumerate().map(|(index, (chosen, shape))| Dense { index, chosen, shape }).collect()
}

impl Dense {
    /// A case whose recording takes the variant.
    fn case(&self, adapter: &Adapter, operation: DenseOperation, label: &str) -> Case {
        let label = format!("{label} {:?} {:?}", self.shape, self.chosen);
        match &self.chosen {
            // Without optional paths: what they add comes by its name.
            Chosen::Table(class) => {
                let mut case = Case::tuned(adapter, *class, &label);
                case.recording = Recording::tuned(label, *class);
                case
            }
            Chosen::Named(name) => {
                let (rows, inputs, outputs) = self.shape;
                let file =
                    TuningFile::new(adapter.gpu.info()).with(operation.stem(), [rows, inputs, outputs], name);
                let mut adapter = adapter.clone();
                adapter.gpu = adapter.gpu.with_tuning(Tuning::Exactly(file)).unwrap();
                Case::new(&adapter, label)
            }
        }
    }

    /// Checks that the variant alone was recorded, and notes it under the name of its kernel.
    fn check(&self, case: &Case, operation: DenseOperation, coverage: &mut Covered) {
        let (rows, inputs, outputs) = self.shape;
        let wide = rows >= 512 && inputs.min(outputs) >= 32;
        let suffix = match &self.chosen {
            Chosen::Table(DeviceClass::Gpu) if wide => "tiled",
            Chosen::Table(_) => "portable",
            Chosen::Named(name) => name.split(' ').next().unwrap_or_default(),
        };
        let stem = operation.stem();
        let file = if suffix == "portable" { stem.into() } else { format!("{stem}_{suffix}") };
        case.expect_kernels(&[&file]);
        coverage.entry(file).or_default().add(&case.recording.kernels()[0]);
        if let Chosen::Named(name) = &self.chosen {
            let names: Vec<_> = case.recording.variants().values().flatten().collect();
            assert_eq!(names, [name], "{stem}");
        }
    }
}

/// What was run, by the kernel's stem.
type Covered = BTreeMap<String, Coverage>;

/// The kernels of dense layers. The harness reads here which ones have tests.
fn dense_kernels(stems: [&'static str; 9]) -> [&'static str; 9] {
    stems
}

fn expect_complete(covered: &Covered, operation: DenseOperation) {
    let all = dense_kernels([
        "dense_forward",
        "dense_forward_subgroup",
        "dense_forward_tiled",
        "dense_input_gradient",
        "dense_input_gradient_subgroup",
        "dense_input_gradient_tiled",
        "dense_weight_gradient",
        "dense_weight_gradient_subgroup",
        "dense_weight_gradient_tiled",
    ]);
    let own = all.into_iter().filter(|stem| stem.starts_with(operation.stem()));
    // Not every device has subgroups of the right size.
    let ran: Vec<_> = own.filter(|stem| !stem.ends_with("subgroup") || covered.contains_key(*stem)).collect();
    assert_eq!(covered.keys().collect::<Vec<_>>(), ran);
    covered.iter().for_each(|(stem, coverage)| coverage.expect_complete(stem));
}

/// What the sums of a test's layer start from.
#[derive(Clone, Copy, Debug)]
enum From {
    Bias,
    Context(usize),
    Residual,
}

fn dense_forward_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Covered::new();
    for dense in &dense_cases(adapter, DenseOperation::Forward) {
        let index = dense.index;
        // Every activation comes at least six times.
        let (chosen, keep) = (ACTIVATIONS[index % 6], index / 6 % 2 == 0);
        let context = shared_rows(dense.shape.0).map_or(From::Bias, From::Context);
        for (from, keep_slope, (activation, expected_activation)) in
            [(From::Bias, keep, chosen), (context, !keep, chosen), (From::Residual, false, ACTIVATIONS[0])]
        {
            if matches!(from, From::Residual) && index % 4 != 0 {
                continue;
            }
            let layer = (activation, expected_activation);
            forward_equals_the_reference(adapter, dense, from, layer, keep_slope, &mut coverage);
        }
    }
    expect_complete(&coverage, DenseOperation::Forward);
}

fn forward_equals_the_reference(
    adapter: &Adapter,
    dense: &Dense,
    from: From,
    (activation, expected_activation): (Activation, reference::Activation),
    keep_slope: bool,
    coverage: &mut Covered,
) {
    let (rows, inputs, outputs) = dense.shape;
    let label = format!("forward {activation:?} {from:?} {keep_slope}");
    let mut case = dense.case(adapter, DenseOperation::Forward, &label);
    let layer = Layer::new(inputs, outputs);
    let h = data(5, rows * inputs);
    let input = case.packed("h", rows, inputs, &h);
    let parameters = case.input("parameters", [layer.flat.len()], &layer.flat);
    case.recording.allow_uniform(parameters).unwrap();
    let context = data(6, rows * outputs);
    let biases = wide(&layer.biases);
    let (start, init, candidates) = match from {
        From::Bias => (Start::Bias(&layer.bias), biases, rows),
        From::Context(candidates) => {
            let contexts = rows / candidates;
            let context = &context[..contexts * outputs];
            let value = case.packed("context", contexts, outputs, context);
            (Start::Context(value), wide(context), candidates)
        }
        From::Residual => {
            let value = case.packed("context", rows, outputs, &context);
            let sums = wide(&context).iter().enumerate().map(|(at, v)| v + biases[at % outputs]).collect();
            (Start::Residual(&layer.bias, value), sums, 1)
        }
    };
    let spec = DenseForward { parameters, weight: &layer.weight, start, activation, keep_slope };
    let written = dense_forward::record(&mut case.recording, input, &spec).unwrap();
    case.output("output", written.output);
    assert_eq!(written.slope.is_some(), keep_slope);
    if let Some(slope) = written.slope {
        case.output("slope", slope);
    }
    dense.check(&case, DenseOperation::Forward, coverage);
    let results = case.run();

    // A bias is a context that all rows share.
    let init = Init::Context { values: &init, candidates };
    let shape = layer.shape(rows);
    let expected =
        reference::dense_forward(shape, &wide(&h), &wide(&layer.weights), init, expected_activation);
    expect_activated(&results, &expected, expected_activation, inputs + 2, keep_slope);
}

/// Rows per context: an odd divisor if there is one.
fn shared_rows(rows: usize) -> Option<usize> {
    [41, 13, 7, 5, 293, 257, 3, 1].into_iter().find(|divisor| rows.is_multiple_of(*divisor))
}

/// Relative error of an activation at an exact argument (`lib/activation.wgsl`): sigmoid 4e-6, tanh 5e-7 and a rounding,
/// the tails of GELU and softplus that of exp, whose argument GELU rounds first.
pub fn own_error(activation: reference::Activation) -> f64 {
    match activation {
        Identity | Relu => 0.0,
        Silu | Softplus => 4e-6,
        Tanh => 6e-7,
        Gelu => 1.5e-5,
    }
}

pub fn expect_activated(
    results: &Results,
    expected: &reference::dense_forward::DenseForward,
    activation: reference::Activation,
    terms: usize,
    keep_slope: bool,
) {
    let Bound::Each(sums) = Bound::sum(&expected.magnitude, terms) else { unreachable!() };
    // The steepest slope is that of GELU, 1.13.
    let own = own_error(activation);
    let bound = |at: usize| 1.13 * sums[at] + own * expected.output[at].abs();
    results.expect("output", &results.packed("output"), &expected.output, bound);
    if !keep_slope {
        return;
    }
    // act'' is at most 0.5 for SiLU, 0.77 for tanh, 0.8 for GELU and 0.25 for softplus. ReLU's slope jumps: a sum within its error of 0 may fall on
    // either side of the kink, of which there must be few.
    let unclear = |at: usize| activation == Relu && expected.sum[at].abs() <= sums[at];
    let count = (0..sums.len()).filter(|&at| unclear(at)).count();
    assert!(count * 1000 <= sums.len(), "{count} of {} sums are too close to the kink", sums.len());
    let bound = |at: usize| match activation {
        Identity | Relu => f64::from(u8::from(unclear(at))),
        Silu => 0.5 * sums[at] + 2.0 * own * (expected.slope[at].abs() + expected.output[at].abs()) + EPS,
        Tanh => 0.77 * sums[at] + 2.0 * own + EPS,
        Gelu => 0.8 * sums[at] + 1e-6,
        Softplus => 0.25 * sums[at] + own * expected.slope[at].abs(),
    };
    // Its padding is act'(0): backward it only ever meets the zeros of the weights' padding.
    results.expect("slope", &results.packed_inside("slope"), &expected.slope, bound);
}

fn activations_are_finite_far_out(adapter: &Adapter) {
    let edges =
        [0.0f32, 1e-30, 1e-4, 0.29, 0.31, 9.0, 9.1, 30.0, 86.9, 87.5, 88.8, 104.0, 500.0, 1e4, 1e20, 1e30];
    let sums: Vec<f32> = edges.iter().flat_map(|&v| [v, -v]).collect();
    let mut layer = Layer::new(1, sums.len());
    layer.flat[layer.weight.offset..layer.bias.offset].fill(0.0);
    layer.flat[layer.bias.offset..][..sums.len()].copy_from_slice(&sums);
    for (activation, expected) in ACTIVATIONS {
        let mut case = Case::new(adapter, format!("{activation:?} far out"));
        let h = case.packed("h", 1, 1, &[1.0]);
        let parameters = case.input("parameters", [layer.flat.len()], &layer.flat);
        case.recording.allow_uniform(parameters).unwrap();
        let start = Start::Bias(&layer.bias);
        let spec = DenseForward { parameters, weight: &layer.weight, start, activation, keep_slope: true };
        let written = dense_forward::record(&mut case.recording, h, &spec).unwrap();
        case.output("output", written.output);
        case.output("slope", written.slope.unwrap());
        let results = case.run();
        let values: Vec<f64> = wide(&sums).into_iter().map(|z| expected.value(z)).collect();
        let slopes: Vec<f64> = wide(&sums).into_iter().map(|z| expected.slope(z)).collect();
        // Below -87 the sigmoid stops at exp(-87) = 1.6e-38: 1e30 of that is 1.7e-8, where the limit is 0.
        let bound = Bound::relative(own_error(expected), 2e-8);
        results.expect("output", &results.packed("output"), &values, bound);
        results.expect("slope", &results.packed_inside("slope"), &slopes, Bound::relative(4e-6, 1e-6));
    }
}

/// A slope and a skip that a gradient meets, or neither.
pub struct Way {
    pub onward: Onward,
    slope: Option<Vec<f64>>,
    skip: Option<Vec<f64>>,
}

impl Way {
    pub fn new(case: &mut Case, rows: usize, width: usize, slope: bool, skip: bool) -> Self {
        let mut one = |name: &str, seed, wanted: bool| {
            let values = wanted.then(|| data(seed, rows * width));
            (values.as_ref().map(|values| case.packed(name, rows, width, values)), values.map(|v| wide(&v)))
        };
        let ((slope_value, slope), (skip_value, skip)) = (one("slope", 8, slope), one("skip", 22, skip));
        Self { onward: Onward { slope: slope_value, skip: skip_value }, slope, skip }
    }

    /// Compares `out` with the gradient in front of both, a sum of so many terms.
    pub fn expect(&self, results: &Results, gradient: &reference::Summed, terms: usize) {
        let (slope, skip) = (self.slope.as_deref(), self.skip.as_deref());
        let expected = reference::add_residual(&gradient.value, slope, skip);
        let sizes = reference::add_residual(&gradient.magnitude, slope, skip).magnitude;
        results.expect("out", &results.packed("out"), &expected.value, Bound::sum(&sizes, terms + 1));
    }
}

fn dense_input_gradient_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Covered::new();
    for dense in &dense_cases(adapter, DenseOperation::InputGradient) {
        let ways = (dense.index % 2 == 0, dense.index / 2 % 2 == 0);
        input_gradient_equals_the_reference(adapter, dense, ways, &mut coverage);
    }
    expect_complete(&coverage, DenseOperation::InputGradient);
}

fn input_gradient_equals_the_reference(
    adapter: &Adapter,
    dense: &Dense,
    (with_slope, with_skip): (bool, bool),
    coverage: &mut Covered,
) {
    let (rows, inputs, outputs) = dense.shape;
    let layer = Layer::new(inputs, outputs);
    let dz = data(7, rows * outputs);
    let label = format!("input gradient {with_slope} {with_skip}");
    let mut case = dense.case(adapter, DenseOperation::InputGradient, &label);
    let seed = case.packed("dz", rows, outputs, &dz);
    let parameters = case.input("parameters", [layer.flat.len()], &layer.flat);
    case.recording.allow_uniform(parameters).unwrap();
    let way = Way::new(&mut case, rows, inputs, with_slope, with_skip);
    let recording = &mut case.recording;
    let out = dense_input_gradient::record(recording, seed, parameters, &layer.weight, way.onward).unwrap();
    case.output("out", out);
    dense.check(&case, DenseOperation::InputGradient, coverage);
    let results = case.run();
    let expected =
        reference::dense_input_gradient(layer.shape(rows), &wide(&dz), &wide(&layer.weights), None);
    way.expect(&results, &expected, outputs);
}

fn dense_weight_gradient_equals_the_reference(adapter: &Adapter) {
    let mut coverage = Covered::new();
    for dense in &dense_cases(adapter, DenseOperation::WeightGradient) {
        weight_gradient_equals_the_reference(adapter, dense, dense.index % 3 != 1, &mut coverage);
    }
    expect_complete(&coverage, DenseOperation::WeightGradient);
}

fn weight_gradient_equals_the_reference(
    adapter: &Adapter,
    dense: &Dense,
    with_bias: bool,
    coverage: &mut Covered,
) {
    let (rows, inputs, outputs) = dense.shape;
    let layer = Layer::new(inputs, outputs);
    let (h, dz) = (data(9, rows * inputs), data(10, rows * outputs));
    // Five splits of seven rows: the last one is empty.
    for splits in [1, 5] {
        let label = format!("weight gradient, {splits} splits, {with_bias}");
        let mut case = dense.case(adapter, DenseOperation::WeightGradient, &label);
        let input = case.packed("h", rows, inputs, &h);
        let seed = case.packed("dz", rows, outputs, &dz);
        let length = layer.flat.len();
        let partials = case.poisoned("partials", DType::F32, [splits, length]);
        let bias = with_bias.then_some(&layer.bias);
        let recording = &mut case.recording;
        dense_weight_gradient::record(recording, input, seed, &layer.weight, bias, partials).unwrap();
        dense.check(&case, DenseOperation::WeightGradient, coverage);
        let results = case.run();

        let each = rows.div_ceil(splits);
        let ranges: Vec<_> = (0..splits).map(|s| (s * each).min(rows)..((s + 1) * each).min(rows)).collect();
        let expected = reference::dense_weight_gradient(layer.shape(rows), &wide(&h), &wide(&dz), &ranges);
        let found: Vec<f32> = results.get("partials");
        let (weights, biases) = split_partials(&found, &layer, splits, with_bias);
        let bound = Bound::sum(&expected.weights.magnitude, each);
        results.expect("weights", &weights, &expected.weights.value, bound);
        if with_bias {
            let bound = Bound::sum(&expected.bias.magnitude, each);
            results.expect("bias", &biases, &expected.bias.value, bound);
        }
        // What belongs to other layers stays as it was.
        let area = layer.weight.offset..layer.weight.offset + pad4(inputs) * pad4(outputs);
        let bias_area = layer.bias.offset..layer.bias.offset + layer.bias.stride;
        let foreign = (0..splits * length).filter(|at| {
            let p = at % length;
            !(area.contains(&p) || (with_bias && bias_area.contains(&p)))
        });
        results.expect_untouched("partials", foreign);
    }
}

/// Those that the tests above do not run on all shapes: all but the tiled ones.
fn every_dense_variant_equals_the_reference(adapter: &Adapter) {
    let target = adapter.gpu.target();
    for operation in DenseOperation::ALL {
        let names = operation.variants(&target);
        assert!(names.len() >= 6, "{operation:?}: {names:?}");
        for (index, name) in names.iter().enumerate().filter(|(_, name)| !name.starts_with("tiled")) {
            let mut coverage = Covered::new();
            for shape in DENSE {
                let dense = Dense { index, chosen: Chosen::Named(name.clone()), shape };
                match operation {
                    // The same pipeline for all shapes.
                    DenseOperation::Forward => {
                        let layer = ACTIVATIONS[index % 6];
                        forward_equals_the_reference(adapter, &dense, From::Bias, layer, true, &mut coverage);
                    }
                    DenseOperation::InputGradient => {
                        input_gradient_equals_the_reference(adapter, &dense, (true, true), &mut coverage);
                    }
                    DenseOperation::WeightGradient => {
                        weight_gradient_equals_the_reference(adapter, &dense, true, &mut coverage);
                    }
                }
            }
        }
    }
}

/// Weights and biases of all splits; padding must be zero.
fn split_partials(found: &[f32], layer: &Layer, splits: usize, with_bias: bool) -> (Vec<f32>, Vec<f32>) {
    let (inputs, outputs) = (layer.inputs, layer.outputs);
    let (mut weights, mut biases) = (Vec::new(), Vec::new());
    for part in found.chunks_exact(found.len() / splits) {
        let area = &part[layer.weight.offset..][..pad4(inputs) * pad4(outputs)];
        let rows = crate::common::unpack(area, pad4(inputs), outputs).unwrap();
        let (inside, below) = rows.split_at(inputs * outputs);
        assert!(below.iter().all(|v| *v == 0.0), "rows of padding are not zero");
        weights.extend_from_slice(inside);
        if with_bias {
            let area = &part[layer.bias.offset..][..layer.bias.stride];
            biases.extend(crate::common::unpack(area, 1, outputs).unwrap());
        }
    }
    (weights, biases)
}

fn sum_candidates_equals_the_reference(adapter: &Adapter) {
    for (contexts, candidates, width) in
        [(1, 1, 1), (7, 2, 1), (1, 257, 7), (65, 17, 63), (7, 64, 65), (3, 65, 257), (257, 7, 64)]
    {
        let values = data(11, contexts * candidates * width);
        let mut case = Case::new(adapter, format!("sum candidates {contexts}x{candidates}x{width}"));
        let x = case.packed("x", contexts * candidates, width, &values);
        let out = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
        case.output("out", out);
        case.expect_kernels(&["sum_candidates"]);
        let results = case.run();
        let expected = reference::sum_candidates(&wide(&values), contexts, candidates, width);
        let bound = Bound::sum(&expected.magnitude, candidates);
        results.expect("out", &results.packed("out"), &expected.value, bound);
    }
}

/// Cuts at multiples of 64 rows, before, at and within contexts.
fn sums_of_ranges_of_rows_equal_those_of_all(adapter: &Adapter) {
    for (contexts, candidates, width) in [(1, 257, 7), (65, 17, 63), (7, 64, 5), (3, 65, 257), (257, 7, 1)] {
        let rows = contexts * candidates;
        let values = data(11, rows * width);
        let mut case = Case::new(adapter, format!("sum ranges {contexts}x{candidates}x{width}"));
        let x = case.packed("x", rows, width, &values);
        let whole = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
        case.output("whole", whole);
        let carried = case.poisoned("carried", DType::F32, Shape::packed(contexts, width));
        let mut fresh = Vec::new();
        let step = 64 * (1 + rows / 400);
        for first in (0..rows).step_by(step) {
            let count = step.min(rows - first);
            let part = case.recording.rows(x, first, count).unwrap();
            let carry = if first == 0 { Carry::Fresh } else { Carry::Continue };
            let range = CandidateRange { candidates, first_row: first, carry };
            sum_candidates::record_range(&mut case.recording, part, &range, carried).unwrap();
            // The contexts from the first that this range reaches.
            let begin = first / candidates;
            let own = (first + count).div_ceil(candidates) - begin;
            let name = format!("fresh {first}");
            let out = case.poisoned(&name, DType::F32, Shape::packed(own, width));
            let range =
                CandidateRange { candidates, first_row: first - begin * candidates, carry: Carry::Fresh };
            sum_candidates::record_range(&mut case.recording, part, &range, out).unwrap();
            fresh.push((name, first, count, begin, own));
        }
        let results = case.run();
        results.expect_words("carried", &results.bits("carried"), &results.bits("whole"));
        for (name, first, count, begin, own) in fresh {
            // The same sum with zeros for the rows of other ranges.
            let mut masked = vec![0.0; own * candidates * width];
            for row in first..first + count {
                let to = (row - begin * candidates) * width;
                masked[to..to + width].copy_from_slice(&wide(&values[row * width..][..width]));
            }
            let expected = reference::sum_candidates(&masked, own, candidates, width);
            let bound = Bound::sum(&expected.magnitude, candidates);
            results.expect(&name, &results.packed(&name), &expected.value, bound);
        }
    }
}

fn sums_over_more_candidates_than_a_loop_may_count(adapter: &Adapter) {
    let (contexts, candidates, width) = (2, 70_001, 3);
    let values = data(11, contexts * candidates * width);
    let mut case = Case::new(adapter, "sum of 70001 candidates");
    let x = case.packed("x", contexts * candidates, width, &values);
    let out = sum_candidates::record(&mut case.recording, x, contexts).unwrap();
    case.output("out", out);
    assert!(case.recording.len() > 1, "{}", case.recording.describe());
    let results = case.run();
    let expected = reference::sum_candidates(&wide(&values), contexts, candidates, width);
    let bound = Bound::sum(&expected.magnitude, candidates);
    results.expect("out", &results.packed("out"), &expected.value, bound);
}

fn reduce_partials_equals_the_reference(adapter: &Adapter) {
    for (splits, parameters) in [(1, 4), (7, 28), (32, 252), (5, 260), (3, 1028), (2, 4 * 257)] {
        let values = data(12, splits * parameters);
        let mut case = Case::new(adapter, format!("reduce {splits}x{parameters}"));
        let partials = case.input("partials", [splits, parameters], &values);
        let out = reduce_partials::record(&mut case.recording, partials, GradientMode::Overwrite).unwrap();
        case.output("gradient", out);
        case.expect_kernels(&["reduce_partials"]);
        let results = case.run();
        let expected = reference::reduce_partials(&wide(&values), splits, parameters);
        let bound = Bound::sum(&expected.magnitude, splits);
        results.expect("gradient", &results.get("gradient"), &expected.value, bound);
    }
}

const TABLE_ROWS: usize = 5;

struct Prepared {
    results: Results,
    values: Vec<f32>,
    table: Vec<f32>,
    count: u32,
    latch: Vec<u32>,
}

fn prepare(adapter: &Adapter, gradient: &[f32], max_norm: f32, count: u32, latch: [u32; 4]) -> Prepared {
    let label = format!("gradient norm of {}, {max_norm}, {count}, {latch:?}", gradient.len());
    let mut case = Case::new(adapter, label);
    case.run_state(3, (6 << 32) + 8);
    let table = data(13, 4 * TABLE_ROWS);
    let value = case.input("gradient", [gradient.len()], gradient);
    let options = GradientNorm {
        table: case.input("table", [TABLE_ROWS, 4], &table),
        count: case.input("count", [1], &[count]),
        max_norm,
        metric: 3,
    };
    case.input(MetricsRing::LATCH_SLOT, [4], &latch);
    let prepared = gradient_norm::record(&mut case.recording, value, &options).unwrap();
    case.output("prepared", prepared);
    case.expect_kernels(&["gradient_norm"]);
    let results = case.run();
    let mut values: Vec<f32> = results.get("prepared");
    assert_eq!(values.split_off(8), [0.0; 4], "no losses were watched");
    let count = results.get::<u32>("count")[0];
    let latch = results.get(MetricsRing::LATCH_SLOT);
    Prepared { results, values, table, count, latch }
}

impl Prepared {
    fn expect(&self, expected: &reference::gradient_norm::GradientNorm, go: bool, terms: usize) {
        let row = (expected.count.max(1) as usize).min(TABLE_ROWS) - 1;
        let mut all = vec![expected.norm, expected.clip, f64::from(u8::from(go)), 0.0];
        all.extend(wide(&self.table[4 * row..4 * row + 4]));
        // All terms are positive: a sum's relative error, halved by the root; the quotient adds three roundings.
        let relative = EPS * ((terms as f64).sqrt() + 6.0);
        let bound = |at: usize| if at < 2 { relative * all[at] } else { 0.0 };
        self.results.expect("prepared", &self.values, &all, bound);
        assert_eq!(u64::from(self.count), expected.count);
    }
}

fn gradient_norm_clips_and_counts(adapter: &Adapter) {
    for (index, length) in [4, 28, 64, 252, 256, 260, 1028, 4100].into_iter().enumerate() {
        let gradient = data(14, length);
        for max_norm in [0.0, 0.5, 1e4] {
            let count = index as u32;
            let prepared = prepare(adapter, &gradient, max_norm, count, [0; 4]);
            let wide_norm = f64::from(max_norm);
            let expected = reference::gradient_norm(&wide(&gradient), wide_norm, count.into(), false);
            prepared.expect(&expected, true, length);
            assert_eq!(prepared.latch, [0; 4]);
        }
    }
    // A zero gradient is not divided by.
    let prepared = prepare(adapter, &[0.0; 8], 1.0, 0, [0; 4]);
    prepared.expect(&reference::gradient_norm(&[0.0; 8], 1.0, 0, false), true, 8);
}

fn gradient_norm_does_not_overflow(adapter: &Adapter) {
    for factor in [1e-25f32, 1e25, 1e30] {
        let gradient: Vec<f32> = data(15, 516).iter().map(|v| v * factor).collect();
        let prepared = prepare(adapter, &gradient, 0.5, 1, [0; 4]);
        prepared.expect(&reference::gradient_norm(&wide(&gradient), 0.5, 1, false), true, 516);
    }
    // Without clipping the squares of such a gradient overflow in the optimiser: it counts as not finite.
    let gradient: Vec<f32> = data(15, 516).iter().map(|v| v * 1e25).collect();
    let prepared = prepare(adapter, &gradient, 0.0, 1, [0; 4]);
    assert_eq!(prepared.latch, [1, 8, 6, 3], "{}", adapter.name);
    assert_eq!(prepared.count, 1, "{}", adapter.name);
}

/// The same bits as those of a sum taken beforehand.
fn gradient_norm_adds_partial_gradients_up(adapter: &Adapter) {
    for (splits, length) in [(1, 4), (7, 64), (16, 260), (3, 1028), (64, 68)] {
        let all = data(15, splits * length);
        let settle = |reduced: bool| {
            let mut case = Case::new(adapter, format!("{splits} partial gradients of {length}, {reduced}"));
            case.run_state(3, 1);
            case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
            let options = GradientNorm {
                table: case.input("table", [TABLE_ROWS, 4], &data(13, 4 * TABLE_ROWS)),
                count: case.input("count", [1], &[2u32]),
                max_norm: 0.5,
                metric: 3,
            };
            let partials = case.input("partials", [splits, length], &all);
            let recording = &mut case.recording;
            let gradient = match reduced {
                true => {
                    let mode = GradientMode::Overwrite;
                    FlatGradient::Whole(reduce_partials::record(recording, partials, mode).unwrap())
                }
                false => FlatGradient::Partials(partials),
            };
            let settled = gradient_norm::record_watching(recording, gradient, &options, None).unwrap();
            // Both lie in one value; the optimiser takes its parts.
            let adam = |case: &mut Case, name: &str| case.input(name, [length], &vec![0.25; length]);
            let buffers = AdamBuffers {
                gradient: settled.gradient,
                prepared: settled.prepared,
                parameters: adam(&mut case, "parameters"),
                first_moment: adam(&mut case, "first"),
                second_moment: adam(&mut case, "second"),
                average: adam(&mut case, "average"),
            };
            let constants = AdamConstants { beta1: 0.5, beta2: 0.9, epsilon: 1e-8, weight_decay: 0.0 };
            adam::record(&mut case.recording, &buffers, constants).unwrap();
            match reduced {
                true => case.expect_kernels(&["reduce_partials", "gradient_norm", "adam"]),
                false => case.expect_kernels(&["gradient_norm", "adam"]),
            }
            let results = case.run();
            ["parameters", "first", "second"].map(|name| results.bits(name))
        };
        assert!(settle(true) == settle(false), "{}: {splits} of {length}", adapter.name);
    }
}

fn gradient_norm_watches_losses(adapter: &Adapter) {
    for count in [1usize, 7, 64, 257, 600] {
        for bad in [None, Some(f32::NAN), Some(f32::INFINITY), Some(3e38)] {
            let (first, stride) = (count % 3, 1 + count % 4);
            let mut values = vec![f32::NAN; first + stride * count];
            let losses = data(16, count);
            for (at, loss) in losses.iter().enumerate() {
                values[first + stride * at] = *loss;
            }
            if let Some(bad) = bad {
                // A finite one is bad as a sum alone.
                let all = bad.is_finite();
                (0..count)
                    .filter(|at| all || *at == count / 2)
                    .for_each(|at| values[first + stride * at] = bad);
                if all && count < 2 {
                    continue;
                }
            }
            let mut case = Case::new(adapter, format!("{count} losses, {bad:?}"));
            case.run_state(3, (6 << 32) + 8);
            case.input(MetricsRing::LATCH_SLOT, [4], &[0u32; 4]);
            let gradient = case.input("gradient", [8], &data(14, 8));
            let value = case.input("losses", [values.len()], &values);
            let options = GradientNorm {
                table: case.input("table", [TABLE_ROWS, 4], &data(13, 4 * TABLE_ROWS)),
                count: case.input("count", [1], &[1u32]),
                max_norm: 0.0,
                metric: 3,
            };
            let watched = WatchedLoss { losses: Column { value, first, stride, count }, metric: 5 };
            let gradient = FlatGradient::Whole(gradient);
            let step = gradient_norm::record_watching(&mut case.recording, gradient, &options, Some(watched));
            case.output("prepared", step.unwrap().prepared);
            case.expect_kernels(&["gradient_norm"]);
            let results = case.run();
            let prepared: Vec<f32> = results.get("prepared");
            let latch: Vec<u32> = results.get(MetricsRing::LATCH_SLOT);
            let good = bad.is_none();
            let expected = if good { [0; 4] } else { [1, 8, 6, 5] };
            assert_eq!(latch, expected, "{}: {count} {bad:?}", adapter.name);
            let flag = f32::from(u8::from(good));
            assert_eq!((prepared[2], prepared[9]), (flag, 1.0 - flag), "{}: {count} {bad:?}", adapter.name);
            assert_eq!(results.get::<u32>("count"), [if good { 2 } else { 1 }]);
            if good {
                let mean = wide(&losses).iter().sum::<f64>() / count as f64;
                results.expect("mean", &prepared[8..9], &[mean], |_: usize| 8.0 * EPS);
            }
        }
    }
}

fn gradient_norm_calls_a_bad_step_off(adapter: &Adapter) {
    // Latched before by another kernel: the norm is still reported, nothing counts on.
    let gradient = data(16, 260);
    let latch = [1, 2, 3, 4];
    let prepared = prepare(adapter, &gradient, 0.5, 4, latch);
    prepared.expect(&reference::gradient_norm(&wide(&gradient), 0.5, 4, true), false, 260);
    assert_eq!(prepared.latch, latch);
    // Not finite: the first and the last element, and one that a later round of its lane follows.
    for at in [0, 259, 1020 + 3, 2051] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let mut gradient = data(16, if at < 260 { 260 } else { 2052 });
            gradient[at] = bad;
            let prepared = prepare(adapter, &gradient, 0.5, 2, [0; 4]);
            assert_eq!(prepared.latch, [1, 8, 6, 3], "{}: element {at}", adapter.name);
            assert_eq!((prepared.count, prepared.values[2]), (2, 0.0), "{}: element {at}", adapter.name);
            assert!(prepared.values.iter().all(|v| v.is_finite()), "{:?}", prepared.values);
        }
    }
}

const CONSTANTS: AdamConstants =
    AdamConstants { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.05 };

struct AdamCase {
    gradient: Vec<f32>,
    parameters: Vec<f32>,
    first: Vec<f32>,
    second: Vec<f32>,
    average: Vec<f32>,
    results: Results,
}

fn run_adam(adapter: &Adapter, length: usize, prepared: &[f32; 8]) -> AdamCase {
    let mut all = [17, 18, 19, 20, 21].map(|seed| data(seed, length));
    all[3].iter_mut().for_each(|v| *v *= *v);
    // Padding: four zeros in every buffer.
    all.iter_mut().for_each(|buffer| buffer[length - 4..].fill(0.0));
    let [gradient, parameters, first, second, average] = all;
    let mut case = Case::new(adapter, format!("adam of {length}"));
    let shape = [length];
    let buffers = AdamBuffers {
        gradient: case.input("gradient", shape, &gradient),
        prepared: case.input("prepared", [8], prepared),
        parameters: case.input("parameters", shape, &parameters),
        first_moment: case.input("first", shape, &first),
        second_moment: case.input("second", shape, &second),
        average: case.input("average", shape, &average),
    };
    adam::record(&mut case.recording, &buffers, CONSTANTS).unwrap();
    case.expect_kernels(&["adam"]);
    AdamCase { gradient, parameters, first, second, average, results: case.run() }
}

fn adam_equals_the_reference(adapter: &Adapter) {
    for (index, length) in [8, 28, 64, 252, 256, 260, 1028].into_iter().enumerate() {
        let t = 1 + index as i32;
        let corrections = [0.9f64, 0.999].map(|beta| (1.0 / (1.0 - beta.powi(t))) as f32);
        let clip = if index % 2 == 0 { 1.0 } else { 0.3 };
        let prepared = [1.7, clip, 1.0, 0.0, 1e-2, corrections[0], corrections[1], 0.9];
        let found = run_adam(adapter, length, &prepared);
        let state = AdamState {
            parameters: wide(&found.parameters),
            first: wide(&found.first),
            second: wide(&found.second),
            average: wide(&found.average),
        };
        let wide1 = |v: f32| f64::from(v);
        let step = AdamStep {
            clip: wide1(clip),
            rate: wide1(prepared[4]),
            beta1: wide1(CONSTANTS.beta1),
            beta2: wide1(CONSTANTS.beta2),
            correction1: wide1(prepared[5]),
            correction2: wide1(prepared[6]),
            epsilon: wide1(CONSTANTS.epsilon),
            weight_decay: wide1(CONSTANTS.weight_decay),
            average_decay: wide1(prepared[7]),
        };
        let gradient = wide(&found.gradient);
        let expected = reference::adam(&state, &gradient, &step);
        // Four roundings per moment; the direction adds a product, a quotient (2.5) and a root (2.5).
        let g = |at: usize| (step.clip * gradient[at]).abs();
        let first = |at: usize| step.beta1 * state.first[at].abs() + (1.0 - step.beta1) * g(at);
        let moment = |at: usize| 4.0 * EPS * first(at);
        results_near(&found, "first", &expected.first, moment);
        let second = |at: usize| 4.0 * EPS * expected.second[at];
        results_near(&found, "second", &expected.second, second);
        let moved = |at: usize| {
            let root = (expected.second[at] * step.correction2).sqrt() + step.epsilon;
            let size = first(at) * step.correction1 / root + step.weight_decay * state.parameters[at].abs();
            EPS * (12.0 * step.rate * size + state.parameters[at].abs())
        };
        results_near(&found, "parameters", &expected.parameters, moved);
        let average = |at: usize| {
            let size = state.average[at].abs() + expected.parameters[at].abs();
            moved(at) + 2.0 * EPS * size
        };
        results_near(&found, "average", &expected.average, average);
        for name in ["parameters", "first", "second", "average"] {
            let padding = &found.results.get::<f32>(name)[length - 4..];
            assert!(padding.iter().all(|v| *v == 0.0), "{}: `{name}`: padding moved", adapter.name);
        }
    }
}

fn results_near(case: &AdamCase, name: &str, expected: &[f64], bound: impl Fn(usize) -> f64) {
    case.results.expect(name, &case.results.get(name), expected, bound);
}

fn adam_waits_while_called_off(adapter: &Adapter) {
    let found = run_adam(adapter, 260, &[1.0, 1.0, 0.0, 0.0, 1e-2, 10.0, 1000.0, 0.9]);
    for (name, before) in [
        ("parameters", &found.parameters),
        ("first", &found.first),
        ("second", &found.second),
        ("average", &found.average),
    ] {
        assert_eq!(found.results.get::<f32>(name), *before, "{}: `{name}`", adapter.name);
    }
}

fn initialise_draws_every_slice_and_leaves_the_padding(adapter: &Adapter) {
    for (context, action, hidden) in [(1, 2, [7, 5]), (3, 5, [65, 63]), (7, 1, [64, 257])] {
        let inputs = vec![Input::new("context", context), Input::new("action", action)];
        let layout = Network::mlp(inputs, &hidden, Activation::Silu, 1).layout();
        let (seed, step) = (0xfeed_0000_0009, 4);
        let mut case = Case::new(adapter, format!("initialise {context}+{action} {hidden:?}"));
        case.run_state(seed, step);
        let parameters = case.poisoned("parameters", DType::F32, [layout.len]);
        initialise::record(&mut case.recording, &layout, parameters, "initialise/test").unwrap();
        case.expect_kernels(&["initialise"; 7]);
        let results = case.run();
        let flat: Vec<f32> = results.get("parameters");
        let mut padding = vec![true; layout.len];
        for (index, slice) in layout.slices.iter().enumerate() {
            let count = slice.rows * slice.columns;
            let stream = u32::from(stream_id("initialise/test"));
            let uniforms =
                uniform(Draw { seed, step, stream, inner: index as u32 }, count.div_ceil(4) as u32);
            let expected = reference::initialise(&uniforms[..count], slice.fan_in, 1.0);
            let limit = 1.0 / (slice.fan_in as f64).sqrt();
            let found = layout.extract(slice, &flat);
            results.expect(&slice.name, &found, &expected, |_: usize| 2.0 * EPS * limit);
            for row in 0..slice.rows {
                padding[slice.offset + row * slice.stride..][..slice.columns].fill(false);
            }
        }
        results.expect_untouched("parameters", (0..layout.len).filter(|&at| padding[at]));
        assert!(flat.iter().filter(|v| v.to_bits() == POISON).count() > 0, "a layout without padding");
    }
}
