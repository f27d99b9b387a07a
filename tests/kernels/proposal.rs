//! Floor 3: negative samplers.

use gibbs::gpu::random::stream_id;
use gibbs::gpu::{DType, Shape};
use gibbs::nn::Affine;
use gibbs::proposal::{
    Draws, MixtureShape, UniformBox, mixture_likelihood, mixture_log_density, mixture_sample,
    uniform_log_density, uniform_sample,
};
use gibbs::testing::Bound;
use gibbs_reference::gpu::random::{Draw, normal, uniform};
use gibbs_reference::proposal as reference;
use gibbs_reference::proposal::{ActionScale, uniform_log_density::OUTSIDE};

use crate::EPS;
use crate::common::{Adapter, Case, POISON, Results, data, every_adapter, wide};

every_adapter!(
    mixture_draws_equal_the_reference,
    mixture_log_density_equals_the_reference,
    mixture_likelihood_and_its_seed_equal_the_reference,
    mixtures_stand_logits_and_densities_far_apart,
    uniform_draws_equal_the_reference,
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
        let affine = Affine { shift: data(80, dims), scale };
        let (wide_shift, wide_scale) = (wide(&affine.shift), wide(&affine.scale));
        // A narrow clamp, so that some of the log standard deviations lie outside of it.
        let shape = MixtureShape { low: -1.25, high: 0.75, ..MixtureShape::new(components, affine) };
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
const SHAPES: [(usize, usize, usize, usize); 8] = [
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
            // Where u lies within rounding of an edge between components the neighbour is right, too.
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
    assert_eq!(case.recording.shape(written.seed).unwrap(), &Shape::packed(contexts, width));
    case.output("loss", written.loss);
    case.output("seed", written.seed);
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
    // The error of a raw logit is one of its weight and responsibility, which the magnitude does not know; below
    // exp(-87) both count as 0.
    let batch = contexts as f64;
    let bound = |at: usize| {
        sums[at] + 4.0 * EPS * mixture.largest_logit(at / width) * expected.seeds[at].abs() + 1e-30 / batch
    };
    results.expect("seed", &results.packed("seed"), &expected.seeds, bound);
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
        for name in ["loss", "seed"] {
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
        uniform_sample::record(&mut case.recording, &bounds, &draws).unwrap();
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
        let log_q = uniform_log_density::record(&mut case.recording, &bounds, value).unwrap();
        case.output("log_q", log_q);
        case.expect_kernels(&["uniform_log_density"]);
        let results = case.run();
        let expected = reference::uniform_log_density(&wide(bounds.low()), &wide(bounds.high()), &wide(&y));
        assert!(expected.contains(&OUTSIDE), "nothing lies outside");
        results.expect("log_q", &results.get("log_q"), &expected, Bound::relative(EPS, 0.0));
    }
}
