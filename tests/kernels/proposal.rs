//! Floor 3: negative samplers.

use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{DType, DeviceClass, Shape};
use gibbs::nn::{Activation, Fusion, Input, Model, Network, Normalizer};
use gibbs::proposal::{
    Draws, MixtureShape, Proposal, UniformBox, mixture_likelihood, mixture_log_density, mixture_sample,
    uniform_log_density, uniform_sample,
};
use gibbs::testing::Bound;
use gibbs_reference::compose::{Layer, Mlp};
use gibbs_reference::gpu::run::random::{Draw, normal, uniform};
use gibbs_reference::nn::Activation as ReferenceActivation;
use gibbs_reference::nn::passes::pack_inputs;
use gibbs_reference::proposal as reference;
use gibbs_reference::proposal::ActionScale;
use gibbs_reference::proposal::uniform_log_density::OUTSIDE;

use crate::EPS;
use crate::common::{Adapter, Case, POISON, Results, data, every_adapter, wide};

every_adapter!(
    mixture_draws_equal_the_reference,
    mixture_log_density_equals_the_reference,
    mixture_likelihood_and_its_seed_equal_the_reference,
    mixtures_stand_logits_and_densities_far_apart,
    mixture_proposals_equal_their_layers_and_the_reference,
    a_mixture_too_wide_is_left_to_its_layers,
    uniform_draws_equal_the_reference,
    uniform_proposals_equal_draws_and_densities,
    uniform_log_density_knows_inside_and_outside,
);

/// A mixture network's outputs for some contexts, on both sides.
struct Mixture {
    shape: MixtureShape,
    contexts: usize,
    /// `[contexts, outputs]`
    outputs: Vec<f32>,
    shift: Vec<f64>,
    scale: Vec<f64>,
}

impl Mixture {
    fn new(contexts: usize, components: usize, dims: usize) -> Self {
        let scale = data(81, dims).iter().map(|v| 1.5 + v).collect();
        let normalizer = Normalizer { shift: data(80, dims), scale };
        let (wide_shift, wide_scale) = (wide(&normalizer.shift), wide(&normalizer.scale));
        // A narrow clamp, so that some of the log standard deviations lie outside of it.
        let shape = MixtureShape { low: -1.25, high: 0.75, ..MixtureShape::new(components, normalizer) };
        let outputs = data(82, contexts * shape.outputs()).iter().map(|v| 1.6 * v - 0.3).collect();
        Self { shape, contexts, outputs, shift: wide_shift, scale: wide_scale }
    }

    fn reference(&self) -> reference::MixtureShape {
        reference::MixtureShape {
            components: self.shape.components,
            dims: self.shape.dims(),
            log_std_low: f64::from(self.shape.low),
            log_std_high: f64::from(self.shape.high),
        }
    }

    fn scale(&self) -> ActionScale<'_> {
        ActionScale { shift: &self.shift, scale: &self.scale }
    }

    fn upload(&self, case: &mut Case) -> gibbs::gpu::Value {
        case.packed("outputs", self.contexts, self.shape.outputs(), &self.outputs)
    }

    /// Largest logit of a context: the log-sum-exp over raw logits is rounded at that size.
    fn largest_logit(&self, context: usize) -> f64 {
        let logits = if self.shape.components == 1 { 0 } else { self.shape.components };
        let row = &self.outputs[context * self.shape.outputs()..][..logits];
        row.iter().map(|v| f64::from(v.abs())).fold(0.0, f64::max)
    }
}

/// Contexts, components, dimensions, candidates.
const SHAPES: [(usize, usize, usize, usize); 10] = [
    (2, 8, 600, 3),
    // As many components and dimensions as are allowed.
    (2, 5, 3200, 2),
    (1, 1, 1, 2),
    (7, 1, 7, 17),
    (63, 3, 2, 7),
    (3, 7, 5, 65),
    (65, 8, 2, 2),
    (1, 64, 1, 257),
    (5, 65, 3, 64),
    (257, 5, 2, 3),
];

fn mixture_draws_equal_the_reference(adapter: &Adapter) {
    let (mut compared, mut skipped) = (0, 0);
    for (contexts, components, dims, candidates) in SHAPES {
        for first in [0, 1] {
            let mixture = Mixture::new(contexts, components, dims);
            let (seed, step, inner) = (0xabcd_0000_0011, (9 << 32) + 1, 3);
            // Room for one more behind the draws, which nothing may touch either.
            let count = candidates - first;
            let room = candidates + 1;
            let mut case =
                Case::new(adapter, format!("draws {contexts}x{count} of {components}, {dims} dims"));
            case.run_state(seed, step);
            let outputs = mixture.upload(&mut case);
            let y = case.poisoned("y", DType::F32, [contexts, room, dims]);
            let draws = Draws { candidates: y, first, count, stream: "test/draw", inner };
            mixture_sample::record(&mut case.recording, outputs, &mixture.shape, &draws).unwrap();
            case.expect_kernels(&["mixture_sample"]);
            let results = case.run();

            let draw = |name: &str| Draw { seed, step, stream: u32::from(stream_id(name)), inner };
            let rows = contexts * count;
            let u: Vec<f64> = uniform(draw("test/draw/component"), rows as u32)
                .chunks_exact(4)
                .map(|block| block[0])
                .collect();
            let blocks = dims.div_ceil(4);
            let normals: Vec<f64> = normal(draw("test/draw/normal"), (rows * blocks) as u32)
                .chunks_exact(4 * blocks)
                .flat_map(|block| &block[..dims])
                .copied()
                .collect();
            let expected = reference::mixture_sample(
                &mixture.reference(),
                &wide(&mixture.outputs),
                mixture.scale(),
                &u,
                &normals,
            );
            // Where u lies within rounding of an edge between components the neighbor is right,
            // too.
            let clear: Vec<usize> = (0..rows * dims).filter(|at| expected.margin[at / dims] > 1e-5).collect();
            compared += clear.len();
            skipped += rows * dims - clear.len();
            let all: Vec<f32> = results.get("y");
            let place = |at: usize| {
                let (row, j) = (at / dims, at % dims);
                ((row / count) * room + first + row % count) * dims + j
            };
            let found: Vec<f32> = clear.iter().map(|&at| all[place(at)]).collect();
            let wanted: Vec<f64> = clear.iter().map(|&at| expected.y[at]).collect();
            // The magnitude holds exp's own error; 4e-7 of a normal and four roundings come on top.
            let bound = |at: usize| 4.0 * EPS * expected.magnitude[clear[at]];
            results.expect("y", &found, &wanted, bound);
            let written: Vec<bool> =
                (0..all.len()).map(|at| (first..first + count).contains(&(at / dims % room))).collect();
            results.expect_untouched("y", (0..all.len()).filter(|&at| !written[at]));
            let stale = (0..all.len()).any(|at| written[at] && all[at].to_bits() == POISON);
            assert!(!stale, "{}: a draw was not written", adapter.name);
        }
    }
    assert!(skipped * 200 < compared, "{skipped} of {compared} draws were too close to an edge to compare");
}

fn log_density(adapter: &Adapter, mixture: &Mixture, y: &[f32], candidates: usize) {
    let (contexts, dims) = (mixture.contexts, mixture.shape.dims());
    let label =
        format!("log-density {contexts}x{candidates}, {} components, {dims} dims", mixture.shape.components);
    let mut case = Case::new(adapter, label);
    let outputs = mixture.upload(&mut case);
    let y_value = case.input("y", [contexts, candidates, dims], y);
    let log_q = mixture_log_density::record(&mut case.recording, outputs, &mixture.shape, y_value).unwrap();
    case.output("log_q", log_q);
    case.expect_kernels(&["mixture_log_density"]);
    let results = case.run();
    let expected = reference::mixture_log_density(
        &mixture.reference(),
        &wide(&mixture.outputs),
        mixture.scale(),
        &wide(y),
    );
    let terms = mixture.shape.components + dims;
    let Bound::Each(sums) = Bound::sum(&expected.magnitude, terms) else { unreachable!() };
    let bound = |at: usize| sums[at] + 4.0 * EPS * mixture.largest_logit(at / candidates);
    results.expect("log_q", &results.get("log_q"), &expected.value, bound);
}

fn mixture_log_density_equals_the_reference(adapter: &Adapter) {
    for (contexts, components, dims, candidates) in SHAPES {
        let mixture = Mixture::new(contexts, components, dims);
        let y: Vec<f32> = data(83, contexts * candidates * dims).iter().map(|v| 2.0 * v).collect();
        log_density(adapter, &mixture, &y, candidates);
    }
}

fn likelihood(adapter: &Adapter, mixture: &Mixture, y: &[f32]) -> Results {
    let (contexts, dims, width) = (mixture.contexts, mixture.shape.dims(), mixture.shape.outputs());
    let label = format!("likelihood of {contexts}, {} components, {dims} dims", mixture.shape.components);
    let mut case = Case::new(adapter, label);
    let outputs = mixture.upload(&mut case);
    let y_value = case.input("y", [contexts, 1, dims], y);
    let written = mixture_likelihood::record(&mut case.recording, outputs, &mixture.shape, y_value).unwrap();
    assert_eq!(case.recording.shape(written.output_gradient).unwrap(), &Shape::packed(contexts, width));
    case.output("loss", written.loss);
    case.output("output_gradient", written.output_gradient);
    case.expect_kernels(&["mixture_likelihood"]);
    let results = case.run();
    let expected = reference::mixture_likelihood(
        &mixture.reference(),
        &wide(&mixture.outputs),
        mixture.scale(),
        &wide(y),
    );
    let terms = mixture.shape.components + dims;
    let Bound::Each(sums) = Bound::sum(&expected.loss_magnitude, terms) else { unreachable!() };
    let bound = |at: usize| sums[at] + 4.0 * EPS * mixture.largest_logit(at);
    results.expect("loss", &results.get("loss"), &expected.loss, bound);
    let Bound::Each(sums) = Bound::sum(&expected.seed_magnitude, terms) else { unreachable!() };
    // The error of a raw logit is one of its weight and responsibility, which the magnitude does
    // not know; below exp(-87) both count as 0.
    let batch = contexts as f64;
    let bound = |at: usize| {
        sums[at] + 4.0 * EPS * mixture.largest_logit(at / width) * expected.seeds[at].abs() + 1e-30 / batch
    };
    results.expect("output_gradient", &results.packed("output_gradient"), &expected.seeds, bound);
    results
}

fn mixture_likelihood_and_its_seed_equal_the_reference(adapter: &Adapter) {
    for (contexts, components, dims, _) in SHAPES {
        let mixture = Mixture::new(contexts, components, dims);
        let y: Vec<f32> = data(84, contexts * dims).iter().map(|v| 2.0 * v).collect();
        likelihood(adapter, &mixture, &y);
        let clamped =
            (0..contexts).flat_map(|b| &mixture.outputs[(b + 1) * mixture.shape.outputs() - dims..][..dims]);
        let outside = clamped.filter(|v| !(mixture.shape.low..=mixture.shape.high).contains(v)).count();
        assert!(contexts < 7 || outside > 0, "no log standard deviation lies outside the clamp");
    }
}

fn mixtures_stand_logits_and_densities_far_apart(adapter: &Adapter) {
    let (contexts, components, dims) = (7, 5, 2);
    for (what, logit, distance) in [("logits", 300.0, 1.0), ("actions", 1.0, 200.0), ("both", 1e4, 1e4)] {
        let mut mixture = Mixture::new(contexts, components, dims);
        let width = mixture.shape.outputs();
        for row in mixture.outputs.chunks_exact_mut(width) {
            row[..components].iter_mut().for_each(|v| *v *= logit);
        }
        let y: Vec<f32> = data(85, contexts * dims).iter().map(|v| distance * v).collect();
        let results = likelihood(adapter, &mixture, &y);
        for name in ["loss", "output_gradient"] {
            let found: Vec<f32> = results.get(name);
            assert!(found.iter().all(|v| v.is_finite()), "{}: {what}: `{name}`", adapter.name);
        }
        log_density(adapter, &mixture, &y, 1);
    }
}

fn borders(dims: usize) -> UniformBox {
    let (low, high): (Vec<f32>, Vec<f32>) = data(86, dims).iter().map(|v| (-1.5 + v, 1.0 + 0.5 * v)).unzip();
    UniformBox::new(&low, &high).unwrap()
}

fn uniform_draws_equal_the_reference(adapter: &Adapter) {
    for (contexts, dims, candidates, first) in [
        (1, 1, 2, 1),
        (7, 7, 17, 0),
        (63, 2, 7, 1),
        (3, 5, 65, 1),
        (65, 65, 2, 1),
        (1, 3, 257, 0),
        (257, 2, 3, 1),
    ] {
        let bounds = borders(dims);
        let (seed, step, inner) = (17, 1 << 35, 0x2211);
        let count = candidates - first;
        let mut case = Case::new(adapter, format!("uniform draws {contexts}x{count}, {dims} dims"));
        case.run_state(seed, step);
        let y = case.poisoned("y", DType::F32, [contexts, candidates, dims]);
        let draws = Draws { candidates: y, first, count, stream: "test/box", inner };
        uniform_sample::record(&mut case.recording, bounds.bounds(), &draws).unwrap();
        case.expect_kernels(&["uniform_sample"]);
        let results = case.run();

        let draw = Draw { seed, step, stream: u32::from(stream_id("test/box")), inner };
        let (rows, blocks) = (contexts * count, dims.div_ceil(4));
        let u: Vec<f64> = uniform(draw, (rows * blocks) as u32)
            .chunks_exact(4 * blocks)
            .flat_map(|block| &block[..dims])
            .copied()
            .collect();
        let expected = reference::uniform_sample(&wide(bounds.low()), &wide(bounds.high()), &u);
        let all: Vec<f32> = results.get("y");
        let drawn = |at: usize| at / dims % candidates >= first;
        let found: Vec<f32> = (0..all.len()).filter(|&at| drawn(at)).map(|at| all[at]).collect();
        // The width, a product, a sum, each at most 4 in size.
        results.expect("y", &found, &expected, |_: usize| 8.0 * EPS);
        results.expect_untouched("y", (0..all.len()).filter(|&at| !drawn(at)));
        assert!(found.chunks_exact(dims).all(|y| bounds.contains(y)), "{}: a draw outside", adapter.name);
    }
}

fn uniform_log_density_knows_inside_and_outside(adapter: &Adapter) {
    for (contexts, dims, candidates) in
        [(1, 1, 2), (7, 7, 17), (63, 2, 7), (3, 5, 65), (5, 65, 2), (1, 3, 257)]
    {
        let bounds = borders(dims);
        let mut y: Vec<f32> = data(87, contexts * candidates * dims)
            .iter()
            .enumerate()
            .map(|(at, v)| {
                let (low, high) = (bounds.low()[at % dims], bounds.high()[at % dims]);
                low + (high - low) * v.abs()
            })
            .collect();
        let rows = contexts * candidates;
        for row in 0..rows {
            let at = row * dims + row % dims;
            let (low, high) = (bounds.low()[row % dims], bounds.high()[row % dims]);
            match row % 5 {
                0 => y[at] = high.next_up(),
                1 => y[at] = low.next_down(),
                // The borders belong to the box.
                2 => y[at] = low,
                3 => y[at] = high,
                _ => {}
            }
        }
        let mut case =
            Case::new(adapter, format!("uniform log-density {contexts}x{candidates}, {dims} dims"));
        let value = case.input("y", [contexts, candidates, dims], &y);
        let log_q = uniform_log_density::record(&mut case.recording, bounds.bounds(), value).unwrap();
        case.output("log_q", log_q);
        case.expect_kernels(&["uniform_log_density"]);
        let results = case.run();
        let expected = reference::uniform_log_density(&wide(bounds.low()), &wide(bounds.high()), &wide(&y));
        assert!(expected.contains(&OUTSIDE), "nothing lies outside");
        results.expect("log_q", &results.get("log_q"), &expected, Bound::relative(EPS, 0.0));
    }
}

const X_WIDTH: usize = 3;

/// A mixture with its network: contexts, components, dimensions, candidates, hidden layers.
const PROPOSALS: [(usize, usize, usize, usize, &[usize]); 7] = [
    (1, 1, 1, 2, &[1]),
    (7, 1, 2, 16, &[128]),
    (16, 8, 2, 7, &[64, 64]),
    (5, 3, 5, 65, &[33, 7, 17]),
    (65, 2, 2, 3, &[256]),
    (3, 7, 7, 257, &[12]),
    (2, 5, 3, 64, &[]),
];

fn proposal_of(
    adapter: &Adapter,
    components: usize,
    dims: usize,
    hidden: &[usize],
) -> gibbs::proposal::Mixture {
    let normalizer = |seed, width| Normalizer {
        shift: data(seed, width),
        scale: data(seed + 1, width).iter().map(|v| 1.5 + v).collect(),
    };
    let shape =
        MixtureShape { low: -1.25, high: 0.75, ..MixtureShape::new(components, normalizer(80, dims)) };
    let input = Input::normalized("context", normalizer(60, X_WIDTH));
    let network = Network::mlp(vec![input], hidden, Activation::Silu, shape.outputs());
    let model = Model::zeros(&adapter.gpu, "proposal", network).unwrap();
    let layout = model.layout().clone();
    let mut flat = vec![0.0; layout.len];
    for (index, slice) in layout.slices.iter().enumerate() {
        let limit = 2.0 / (slice.fan_in as f32).sqrt();
        let sign = |at: usize| if (at / 3).is_multiple_of(2) { limit } else { -limit };
        let values: Vec<f32> = data(62 + index as u32, slice.rows * slice.columns)
            .iter()
            .enumerate()
            .map(|(at, v)| sign(at) * v)
            .collect();
        layout.insert(slice, &values, &mut flat);
    }
    model.set_parameters(&adapter.gpu, &flat).unwrap();
    gibbs::proposal::Mixture::new(model, shape).unwrap()
}

/// The whole proposal as a network of the reference.
fn proposal_network(adapter: &Adapter, mixture: &gibbs::proposal::Mixture) -> Mlp {
    let model = mixture.model();
    let flat: Vec<f32> = adapter.gpu.read(model.parameters()).unwrap();
    let mut inputs = X_WIDTH;
    let mut values = Vec::new();
    for slice in &model.layout().slices {
        values.extend(wide(&model.layout().extract(slice, &flat)));
    }
    let mut layers: Vec<Layer> = Vec::new();
    for slice in model.layout().slices.iter().filter(|slice| slice.name.ends_with("bias")) {
        let outputs = slice.columns;
        let activation = ReferenceActivation::Silu;
        let (weights, bias) = (vec![0.0; inputs * outputs], vec![0.0; outputs]);
        layers.push(Layer { inputs, outputs, weights, bias, activation });
        inputs = outputs;
    }
    layers.last_mut().unwrap().activation = ReferenceActivation::Identity;
    Mlp { layers }.with_parameters(&values)
}

fn mixture_proposals_equal_their_layers_and_the_reference(adapter: &Adapter) {
    for (contexts, components, dims, candidates, hidden) in PROPOSALS {
        let mixture = proposal_of(adapter, components, dims, hidden);
        let x = data(70, contexts * X_WIDTH);
        // Every candidate is there before; the draws replace all but the first.
        let before: Vec<f32> = data(71, contexts * candidates * dims).iter().map(|v| 2.0 * v).collect();
        let (seed, step, inner) = (0xabcd_0000_0011, (9 << 32) + 1, 3);
        let propose = |class: DeviceClass, fusion: Fusion| {
            let label = format!(
                "{contexts}x{candidates}, {components} components, {dims} dims, {hidden:?} {class:?}"
            );
            let mut case = Case::tuned(adapter, class, label);
            case.run_state(seed, step);
            case.bind(&mixture.model().slot(), mixture.model().parameters());
            let context = case.input("x", [contexts, X_WIDTH], &x);
            let y = case.input("y", [contexts, candidates, dims], &before);
            let draws =
                Draws { candidates: y, first: 1, count: candidates - 1, stream: "test/propose", inner };
            let log_q = mixture.record_propose(&mut case.recording, context, &draws, fusion).unwrap();
            case.output("log_q", log_q);
            if fusion == Fusion::Auto {
                case.expect_kernels(&["mixture_propose"]);
            }
            case.run()
        };
        let layers = propose(DeviceClass::Cpu, Fusion::Never);
        let plain = layers.get::<f32>("y");
        for class in [DeviceClass::Cpu, DeviceClass::Gpu] {
            let results = propose(class, Fusion::Auto);
            let (y, log_q) = (results.get::<f32>("y"), results.get::<f32>("log_q"));
            match adapter.gpu.capabilities().class {
                // Nothing is contracted or reordered there: the same bits.
                DeviceClass::Cpu => {
                    assert!(layers.bits("y") == results.bits("y"), "{}: draws differ", adapter.name);
                    assert!(layers.bits("log_q") == results.bits("log_q"), "{}: densities", adapter.name);
                }
                DeviceClass::Gpu => results
                    .expect("y", &y, &wide(&plain), |at: usize| 1e-4 * (1.0 + f64::from(plain[at].abs()))),
            }
            let shape = reference::MixtureShape {
                components,
                dims,
                log_std_low: f64::from(mixture.shape().low),
                log_std_high: f64::from(mixture.shape().high),
            };
            let normalizer = &mixture.shape().normalizer;
            let (shift, scale) = (wide(&normalizer.shift), wide(&normalizer.scale));
            let action = ActionScale { shift: &shift, scale: &scale };
            let network = proposal_network(adapter, &mixture);
            let input = &mixture.model().network().inputs[0].normalizer;
            let packed = pack_inputs(&wide(&x), &wide(&input.shift), &wide(&input.scale));
            let density = reference::mixture_propose_density(&network, &shape, action, &packed, &wide(&y));
            // The outputs are sums of at most 256 terms below 2 in size, which move a density by
            // their error times the distance in standard deviations.
            let bound = |at: usize| 2e-4 * (1.0 + density.magnitude[at]);
            results.expect("log_q", &log_q, &density.value, bound);
            let draw = |name: &str| Draw { seed, step, stream: u32::from(stream_id(name)), inner };
            let count = candidates - 1;
            let (rows, blocks) = (contexts * count, dims.div_ceil(4));
            let u: Vec<f64> = uniform(draw("test/propose/component"), rows as u32)
                .chunks_exact(4)
                .map(|block| block[0])
                .collect();
            let normals: Vec<f64> = normal(draw("test/propose/normal"), (rows * blocks) as u32)
                .chunks_exact(4 * blocks)
                .flat_map(|block| &block[..dims])
                .copied()
                .collect();
            let drawn = reference::mixture_propose(&network, &shape, action, &packed, &u, &normals);
            let clear: Vec<usize> = (0..rows * dims).filter(|at| drawn.margin[at / dims] > 1e-4).collect();
            assert!(clear.len() * 50 >= rows * dims * 49, "too many draws near an edge");
            let place = |at: usize| {
                let row = at / dims;
                (row / count * candidates + 1 + row % count) * dims + at % dims
            };
            let found: Vec<f32> = clear.iter().map(|&at| y[place(at)]).collect();
            let wanted: Vec<f64> = clear.iter().map(|&at| drawn.y[at]).collect();
            results.expect("y", &found, &wanted, |at: usize| 2e-5 * (1.0 + drawn.magnitude[clear[at]]));
            for b in 0..contexts {
                let own = b * candidates * dims;
                assert_eq!(y[own..own + dims], before[own..own + dims], "a demonstration was overwritten");
            }
        }
    }
}

fn a_mixture_too_wide_is_left_to_its_layers(adapter: &Adapter) {
    for (hidden, candidates) in [(&[257usize][..], 3), (&[8][..], 40_000)] {
        let mixture = proposal_of(adapter, 2, 2, hidden);
        let mut case = Case::new(adapter, format!("{hidden:?} {candidates}"));
        let parameters = case.bind(&mixture.model().slot(), mixture.model().parameters());
        assert!(case.recording.is_written(parameters));
        let context = case.input("x", [1, X_WIDTH], &[0.0; X_WIDTH]);
        let y = case.input("y", [1, candidates, 2], &vec![0.0; 2 * candidates]);
        let draws = Draws { candidates: y, first: 1, count: candidates - 1, stream: "test/wide", inner: 0 };
        mixture.record_propose(&mut case.recording, context, &draws, Fusion::Auto).unwrap();
        let count = case.recording.kernels().len();
        assert!(count >= 5, "{}: {count} dispatches", adapter.name);
    }
}

fn uniform_proposals_equal_draws_and_densities(adapter: &Adapter) {
    for (contexts, dims, candidates) in [(1, 1, 2), (7, 7, 17), (63, 2, 7), (3, 5, 65), (1, 3, 257)] {
        let bounds = borders(dims);
        // Demonstrations inside and outside.
        let before: Vec<f32> = data(88, contexts * candidates * dims).iter().map(|v| 2.5 * v).collect();
        let propose = |fusion: Fusion| {
            let mut case = Case::new(adapter, format!("uniform {contexts}x{candidates}, {dims} dims"));
            case.run_state(17, 1 << 35);
            let context = case.input("x", [contexts, 1], &vec![0.0; contexts]);
            let y = case.input("y", [contexts, candidates, dims], &before);
            let draws =
                Draws { candidates: y, first: 1, count: candidates - 1, stream: "test/box", inner: 5 };
            let log_q = bounds.record_propose(&mut case.recording, context, &draws, fusion).unwrap();
            case.output("log_q", log_q);
            match fusion {
                Fusion::Auto | Fusion::Always => case.expect_kernels(&["uniform_propose"]),
                Fusion::Never => case.expect_kernels(&["uniform_sample", "uniform_log_density"]),
            }
            case.run()
        };
        let (whole, parts) = (propose(Fusion::Auto), propose(Fusion::Never));
        assert!(whole.bits("log_q") == parts.bits("log_q"), "{}: densities differ", adapter.name);
        let draw = Draw { seed: 17, step: 1 << 35, stream: u32::from(stream_id("test/box")), inner: 5 };
        let (rows, blocks) = (contexts * (candidates - 1), dims.div_ceil(4));
        let u: Vec<f64> = uniform(draw, (rows * blocks) as u32)
            .chunks_exact(4 * blocks)
            .flat_map(|block| &block[..dims])
            .copied()
            .collect();
        let demonstrations: Vec<f64> =
            before.chunks_exact(candidates * dims).flat_map(|of| wide(&of[..dims])).collect();
        let (y, log_q) =
            reference::uniform_propose(&wide(bounds.low()), &wide(bounds.high()), &demonstrations, &u);
        whole.expect("y", &whole.get("y"), &y, |_: usize| 8.0 * EPS);
        whole.expect("log_q", &whole.get("log_q"), &log_q, Bound::relative(EPS, 0.0));
    }
}
