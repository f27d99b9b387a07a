//! Dense layers, in every variant.

use std::collections::{BTreeMap, BTreeSet};

use gibbs::gpu::{DType, DeviceClass, KernelVariant, Recording, Tuning, TuningFile, pad4};
use gibbs::nn::dense;
use gibbs::nn::dense::dense_forward::{DenseForward, Start};
use gibbs::nn::dense::dense_input_gradient::Epilogue;
use gibbs::nn::{Activation, DenseOperation, Initial, ParameterSlice};
use gibbs::testing::Bound;
use gibbs_reference::nn as reference;
use gibbs_reference::nn::Activation::{
    Elu, Gelu, GeluTanh, Identity, LeakyRelu, Mish, Relu, Silu, Softplus, Tanh,
};
use gibbs_reference::nn::DenseShape;
use gibbs_reference::nn::dense::dense_forward::Init;

use crate::EPS;
use crate::common::{Adapter, CLASSES, Case, Results, data, every_adapter, pack, wide};

every_adapter!(
    dense_forward_equals_the_reference,
    activations_are_finite_far_out,
    dense_input_gradient_equals_the_reference,
    dense_weight_gradient_equals_the_reference,
    every_dense_variant_equals_the_reference,
);

/// A layer amid NaN, so that a read outside its slices shows.
struct Layer {
    inputs: usize,
    outputs: usize,
    weight: ParameterSlice,
    bias: ParameterSlice,
    weights: Vec<f32>,
    biases: Vec<f32>,
    flat: Vec<f32>,
}

impl Layer {
    fn new(inputs: usize, outputs: usize) -> Self {
        let slice = |name: &str, offset, rows| ParameterSlice {
            name: name.into(),
            offset,
            rows,
            columns: outputs,
            stride: pad4(outputs),
            fan_in: inputs,
            initial: Initial::Uniform,
        };
        // Where a uniform buffer may begin; behind the bias, room for what it may hold beyond the
        // matrix.
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
pub const ACTIVATIONS: [(Activation, reference::Activation); 10] = [
    (Activation::Identity, reference::Activation::Identity),
    (Activation::Relu, reference::Activation::Relu),
    (Activation::Silu, reference::Activation::Silu),
    (Activation::Tanh, reference::Activation::Tanh),
    (Activation::Gelu, reference::Activation::Gelu),
    (Activation::Softplus, reference::Activation::Softplus),
    (Activation::GeluTanh, reference::Activation::GeluTanh),
    (Activation::Mish, reference::Activation::Mish),
    (Activation::Elu, reference::Activation::Elu),
    (Activation::LeakyRelu, reference::Activation::LeakyRelu),
];

/// Rows, inputs, outputs: every width of the issue, and both sides of each border in the variant
/// table; twice as many as there are activations, each of which is run with its slope and without.
const DENSE: [(usize, usize, usize); 2 * ACTIVATIONS.len()] = [
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
    (63, 5, 12),
    (1025, 65, 63),
    (1025, 17, 7),
    (1025, 7, 1),
    (1025, 3, 65),
    (2051, 2, 65),
    (4099, 33, 65),
];

/// A layer as only the last of a network may be: the parameters of 8 components over 600 columns.
const WIDE: (usize, usize, usize) = (3, 5, 9608);

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

    /// Every block size and every combination of the other choices must have run, though not each
    /// with each.
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

/// [`DENSE`] for each class of devices, for the tiled variant and for those by subgroups that the
/// device can run, numbered.
fn dense_cases(adapter: &Adapter, operation: DenseOperation) -> Vec<Dense> {
    let names = operation.variants(&adapter.gpu.target());
    let named = |kind: &str| -> Vec<Chosen> {
        names.iter().filter(|name| name.starts_with(kind)).cloned().map(Chosen::Named).collect()
    };
    let all = CLASSES.into_iter().map(Chosen::Table).chain(named("tiled"));
    let all = all.flat_map(|chosen| DENSE.into_iter().map(move |shape| (chosen.clone(), shape)));
    // The blocks of the others take turns: each compiles for seconds, and
    // `every_dense_variant_equals_the_reference` runs all shapes.
    let blocks = named("subgroup");
    let turns = blocks.iter().cycle().cloned().zip(DENSE);
    let all = all.chain(turns).chain(CLASSES.into_iter().map(|class| (Chosen::Table(class), WIDE)));
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
        let count = ACTIVATIONS.len();
        let (chosen, keep) = (ACTIVATIONS[index % count], (index / count).is_multiple_of(2));
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
    let written = dense::record_forward(&mut case.recording, input, &spec).unwrap();
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

/// Relative error of an activation at an exact argument (`lib/activation.wgsl`): sigmoid 4e-6, tanh
/// 5e-7 and a rounding, the tails of GELU and softplus that of exp, whose argument GELU, by tanh
/// too, rounds first; Mish is a quotient of squares of exp.
pub fn own_error(activation: reference::Activation) -> f64 {
    match activation {
        Identity | Relu => 0.0,
        Silu | Softplus | Elu => 4e-6,
        Tanh => 6e-7,
        Gelu => 1.5e-5,
        GeluTanh => 3e-5,
        Mish => 1e-5,
        LeakyRelu => 1e-7,
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
    // act'' is at most 0.5 for SiLU, 0.77 for tanh, 0.8 for both GELUs and Mish, 1 for ELU and 0.25
    // for softplus. ReLU's slope jumps: a sum within its error of 0 may fall on either side of the
    // kink, of which there must be few.
    let unclear = |at: usize| [Relu, LeakyRelu].contains(&activation) && expected.sum[at].abs() <= sums[at];
    let count = (0..sums.len()).filter(|&at| unclear(at)).count();
    assert!(count * 1000 <= sums.len(), "{count} of {} sums are too close to the kink", sums.len());
    let bound = |at: usize| match activation {
        Identity | Relu => f64::from(u8::from(unclear(at))),
        Silu => 0.5 * sums[at] + 2.0 * own * (expected.slope[at].abs() + expected.output[at].abs()) + EPS,
        Tanh => 0.77 * sums[at] + 2.0 * own + EPS,
        Gelu => 0.8 * sums[at] + 1e-6,
        Softplus => 0.25 * sums[at] + own * expected.slope[at].abs(),
        GeluTanh | Mish => 0.8 * sums[at] + own * expected.slope[at].abs() + 2e-6,
        Elu => sums[at] + own * expected.slope[at].abs(),
        LeakyRelu => f64::from(u8::from(unclear(at))) + EPS,
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
        let written = dense::record_forward(&mut case.recording, h, &spec).unwrap();
        case.output("output", written.output);
        case.output("slope", written.slope.unwrap());
        let results = case.run();
        let values: Vec<f64> = wide(&sums).into_iter().map(|z| expected.value(z)).collect();
        let slopes: Vec<f64> = wide(&sums).into_iter().map(|z| expected.slope(z)).collect();
        // Below -87 the sigmoid stops at exp(-87) = 1.6e-38: 1e30 of that is 1.7e-8, where the
        // limit is 0.
        let bound = Bound::relative(own_error(expected), 2e-8);
        results.expect("output", &results.packed("output"), &values, bound);
        results.expect("slope", &results.packed_inside("slope"), &slopes, Bound::relative(4e-6, 1e-6));
    }
}

/// A slope and a skip that a gradient meets, or neither.
pub struct Way {
    pub epilogue: Epilogue,
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
        Self { epilogue: Epilogue { slope: slope_value, skip: skip_value }, slope, skip }
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
    let out = dense::record_input_gradient(recording, seed, parameters, &layer.weight, way.epilogue).unwrap();
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
        dense::record_weight_gradient(recording, input, seed, &layer.weight, bias, partials).unwrap();
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
                        let layer = ACTIVATIONS[index % ACTIVATIONS.len()];
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
