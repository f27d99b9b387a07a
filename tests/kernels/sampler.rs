//! Floor 4: chains.

use gibbs::energy::Energy;
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{Bindings, DType, Recording, Value};
use gibbs::math::Bounds;
use gibbs::mcmc::{Langevin, StepSchedule, select_chain};
use gibbs_reference::gpu::run::random::{Draw, normal};
use gibbs_reference::mcmc::langevin::LangevinStep;
use gibbs_reference::mcmc::{langevin as reference, select_chain as reference_select};

use crate::EPS;
use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    langevin_equals_the_reference,
    the_lowest_chain_is_chosen_and_the_first_on_ties,
    faults_do_not_look_like_samples,
);

/// An energy whose gradient is a given tensor: what is left of a chain is the Langevin kernel
/// alone.
struct Slope {
    shape: [usize; 3],
}

impl Energy for Slope {
    fn dims(&self) -> usize {
        self.shape[2]
    }
    fn record_value(&self, _: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        unreachable!("chains need gradients only")
    }
    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        recording.slot("gradient", DType::F32, self.shape)
    }
    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

fn langevin_equals_the_reference(adapter: &Adapter) {
    let step_sizes = StepSchedule::Geometric { first: 0.2, last: 0.01 };
    let temperatures = StepSchedule::Polynomial { first: 1.5, last: 0.5, power: 1.0 };
    for (index, shape) in [[1, 1, 1], [7, 1, 7], [3, 17, 2], [1, 63, 4], [13, 5, 5], [1, 257, 3], [7, 9, 65]]
        .into_iter()
        .enumerate()
    {
        let dims = shape[2];
        let n: usize = shape.iter().product();
        let steps = 1 + index % 3;
        let (y, gradient) = (data(51, n), data(52, n));
        // Off the center, so that some chains meet each border.
        let (low, high): (Vec<f32>, Vec<f32>) =
            data(53, dims).iter().map(|v| (-0.9 + 0.3 * v, 0.8 + 0.3 * v)).unzip();
        let bounds = (index % 2 == 0).then(|| Bounds::new(&low, &high).unwrap());
        let chain = Langevin::default()
            .with_steps(steps)
            .with_step_sizes(step_sizes)
            .with_temperatures(temperatures)
            .with_bounds(bounds.clone())
            .with_quiet_last(index % 3 != 0);
        let (seed, step) = (99 + index as u64, (3 << 32) + 5);
        let (step_scale, temperature) = [(1.0, 1.0), (0.5, 2.0)][index % 2];

        let mut case = Case::new(adapter, format!("langevin {shape:?}, {steps} steps, {chain:?}"));
        case.run_state(seed, step);
        case.input("gradient", shape, &gradient);
        let value = case.input("y", shape, &y);
        let recording = &mut case.recording;
        let knobs = chain.record(recording, &Slope { shape }, None, value, "test/chain").unwrap();
        case.knob(knobs[0], step_scale);
        case.knob(knobs[1], temperature);
        match steps {
            1 => case.expect_kernels(&["langevin"]),
            2 => case.expect_kernels(&["langevin", "langevin"]),
            _ => case.expect_kernels(&["langevin", "langevin", "langevin"]),
        }
        let results = case.run();

        let (gradient, limits) = (wide(&gradient), (wide(&low), wide(&high)));
        let limits = bounds.is_some().then_some((&limits.0[..], &limits.1[..]));
        let mut expected = wide(&y);
        let mut bound = vec![0.0; n];
        for inner in 0..steps {
            let eta = f64::from(step_sizes.at(inner, steps) as f32) * f64::from(step_scale);
            let quiet = chain.quiet_last && inner + 1 == steps;
            let noise = chain_noise(seed, step, inner, n / dims, dims);
            // The temperature scales the noise's variance.
            let temperature = temperatures.at(inner, steps) * f64::from(temperature);
            let noise_scale = if quiet { 0.0 } else { temperature.sqrt() };
            for at in 0..n {
                let noisy = (2.0 * eta).sqrt() * noise_scale * noise[at].abs();
                // Normals within 4e-7, the amplitude's root and products, three roundings of the
                // sum.
                bound[at] += EPS * (3.0 * (expected[at].abs() + eta * gradient[at].abs()) + 12.0 * noisy);
            }
            expected = reference(&expected, &gradient, &noise, LangevinStep { eta, noise_scale }, limits);
        }
        results.expect("y", &results.get("y"), &expected, &bound[..]);
    }
}

/// Element `row * ceil(dims / 4) + j / 4` owns the normals of dimensions `j .. j + 3`.
fn chain_noise(seed: u64, step: u64, inner: usize, rows: usize, dims: usize) -> Vec<f64> {
    let blocks = dims.div_ceil(4);
    let draw = Draw { seed, step, stream: u32::from(stream_id("test/chain")), inner: inner as u32 };
    let all = normal(draw, (rows * blocks) as u32);
    all.chunks_exact(4 * blocks).flat_map(|row| &row[..dims]).copied().collect()
}

fn the_lowest_chain_is_chosen_and_the_first_on_ties(adapter: &Adapter) {
    for (contexts, chains, dims) in
        [(1, 1, 1), (7, 2, 7), (3, 17, 2), (65, 64, 1), (5, 65, 65), (3, 257, 3), (257, 7, 2)]
    {
        let y = data(61, contexts * chains * dims);
        let distinct = data(62, contexts * chains);
        // Coarse energies: most contexts have ties, also between chains of different lanes.
        let ties: Vec<f32> = distinct.iter().map(|v| (v * 3.0).round()).collect();
        let huge: Vec<f32> = distinct.iter().map(|v| 1e30 * v).collect();
        let equal = vec![-0.5; contexts * chains];
        for (what, energies) in [("distinct", &distinct), ("ties", &ties), ("huge", &huge), ("equal", &equal)]
        {
            for packed in [true, false] {
                let label = format!("select {contexts}x{chains}x{dims}, {what}, {packed}");
                let mut case = Case::new(adapter, label);
                let energy = match packed {
                    true => case.packed("energy", contexts * chains, 1, energies),
                    false => case.input("energy", [contexts * chains, 1], energies),
                };
                let value = case.input("y", [contexts, chains, dims], &y);
                let best = select_chain::record(&mut case.recording, energy, value).unwrap();
                case.output("best", best.y);
                case.output("best energy", best.energy);
                case.expect_kernels(&["mark_lost", "select_chain"]);
                let results = case.run();
                let expected = reference_select(&wide(&y), &wide(energies), chains, dims);
                results.expect("y", &results.get("best"), &expected.y, |_: usize| 0.0);
                results.expect("energy", &results.get("best energy"), &expected.energy, |_: usize| 0.0);
            }
        }
    }
}

fn faults_do_not_look_like_samples(adapter: &Adapter) {
    // Energies that are not finite never win, nor do positions with an energy that does not show
    // it. No sound chain: NaN.
    let energies = [f32::NAN, 2.0, f32::NEG_INFINITY, 1.0, f32::INFINITY, f32::NAN, 0.5, f32::NAN];
    let energies = [&energies[..], &[0.1, 0.2, 0.3, 0.4]].concat();
    let mut y = data(63, 12);
    (y[6], y[8], y[10]) = (f32::NAN, f32::INFINITY, f32::NAN);
    let mut case = Case::new(adapter, "select among faults");
    let energy = case.input("energy", [12, 1], &energies);
    let value = case.input("y", [3, 4, 1], &y);
    let best = select_chain::record(&mut case.recording, energy, value).unwrap();
    case.output("best", best.y);
    case.output("best energy", best.energy);
    let results = case.run();
    let best: Vec<f32> = results.get("best");
    assert!(best[1].is_nan(), "{}: {best:?}", adapter.name);
    assert_eq!([best[0], best[2]], [y[3], y[9]], "{}", adapter.name);
    assert_eq!(results.get::<f32>("best energy"), [1.0, 3.4e38, 0.2], "{}", adapter.name);
    let expected = reference_select(&wide(&y), &wide(&energies), 4, 1);
    assert!(expected.chain == [3, 0, 1] && expected.y[1].is_nan(), "{expected:?}");

    // A gradient that is not finite is not clamped into the box.
    let shape = [1, 2, 2];
    let mut case = Case::new(adapter, "langevin with faults");
    case.run_state(1, 2);
    case.input("gradient", shape, &[f32::NAN, 0.5, f32::INFINITY, -0.5]);
    let value = case.input("y", shape, &[0.25; 4]);
    let bounds = Bounds::new(&[-1.0; 2], &[1.0; 2]).unwrap();
    let step_sizes = StepSchedule::Constant { value: 1e-3 };
    let chain = Langevin::default()
        .with_steps(1)
        .with_step_sizes(step_sizes)
        .with_bounds(Some(bounds))
        .with_quiet_last(true);
    let knobs = chain.record(&mut case.recording, &Slope { shape }, None, value, "test/chain").unwrap();
    case.knob(knobs[0], 1.0);
    case.knob(knobs[1], 1.0);
    let moved = case.run().get::<f32>("y");
    assert!(!moved[0].is_finite() && !moved[2].is_finite(), "{}: {moved:?}", adapter.name);
    assert!(
        (moved[1] - 0.2495).abs() < 1e-6 && (moved[3] - 0.2505).abs() < 1e-6,
        "{}: {moved:?}",
        adapter.name
    );
}
