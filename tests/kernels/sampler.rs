//! Floor 4: chains.

use gibbs::energy::{Energy, Gradient, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::run::random::stream_id;
use gibbs::gpu::{Bindings, DType, Recording, Value};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::settle_move::SettledChains;
use gibbs::mcmc::{
    ChainInputs, Dynamics, Langevin, SampleTrace, StepSchedule, keep_sample, mark_lost, select_chain,
};
use gibbs_reference::gpu::run::random::{Draw, normal};
use gibbs_reference::mcmc::langevin::LangevinStep;
use gibbs_reference::mcmc::{
    langevin as reference, select_chain as reference_select, settle_move as reference_settle,
};

use crate::EPS;
use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(
    langevin_equals_the_reference,
    the_lowest_chain_is_chosen_and_the_first_on_ties,
    faults_do_not_look_like_samples,
    moves_are_settled_as_in_the_reference,
    moves_beyond_a_wall_are_refused_and_leave_the_others_their_bits,
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
    fn has_walls(&self) -> bool {
        false
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
        let scales: Vec<f32> = (0..dims).map(|j| [1.0, 0.02, 1.6][(j + index) % 3]).collect();
        let chain = Langevin::default()
            .with_steps(steps)
            .with_step_sizes(step_sizes)
            .with_temperatures(temperatures)
            .with_bounds(bounds.clone())
            .with_scales((index % 3 > 0).then(|| Scales::new(&scales).unwrap()))
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
        let scales = if index % 3 > 0 { wide(&scales) } else { vec![1.0; dims] };
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
                let s = scales[at % dims];
                let noisy = (2.0 * eta).sqrt() * noise_scale * s * noise[at].abs();
                // Normals within 4e-7, the amplitude's root and products, three roundings of the
                // sum, and those of the scaled gradient.
                let pull = eta * s * s * gradient[at].abs();
                bound[at] += EPS * (3.0 * expected[at].abs() + 6.0 * pull + 13.0 * noisy);
            }
            expected =
                reference(&expected, &gradient, &noise, &scales, LangevinStep { eta, noise_scale }, limits);
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
                case.expect_kernels(&["usable_energy", "select_chain"]);
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

/// Energies, gradients or points of some rows that are not finite.
fn planted(seed: u32, shape: [usize; 3], round: usize) -> [Vec<f32>; 3] {
    let [contexts, chains, dims] = shape;
    let rows = contexts * chains;
    let mut all = [data(seed, rows), data(seed + 1, rows * dims), data(seed + 2, rows * dims)];
    for row in 0..rows {
        let value = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][row % 3];
        let at = row * dims + row % dims;
        match (row + 3 * round) % 11 {
            2 => all[0][row] = value,
            5 => all[1][at] = value,
            8 => all[2][at] = value,
            _ => {}
        }
    }
    all
}

fn moves_are_settled_as_in_the_reference(adapter: &Adapter) {
    for (index, shape) in [[1, 1, 1], [7, 1, 7], [3, 17, 2], [1, 63, 4], [13, 5, 5], [1, 257, 3], [7, 9, 65]]
        .into_iter()
        .enumerate()
    {
        let [contexts, chains, dims] = shape;
        let rows = contexts * chains;
        let mut case = Case::new(adapter, format!("settle {shape:?}"));
        let y = case.poisoned("y", DType::F32, shape);
        let mut settled: Option<SettledChains> = None;
        let mut expected = None;
        // The starts and three moves.
        for round in 0..4 {
            let [energy, gradient, moved] = planted(71 + 3 * round as u32, shape, round);
            let stride = if (index + round) % 2 == 0 { 1 } else { 4 };
            let name = |what: &str| format!("{what} {round}");
            let energies = match stride {
                1 => case.input(&name("energy"), [rows, 1], &energy),
                _ => case.packed(&name("energy"), rows, 1, &energy),
            };
            let gradients = case.input(&name("gradient"), shape, &gradient);
            let to = case.input(&name("to"), shape, &moved);
            let recording = &mut case.recording;
            keep_sample::record(recording, to, 0..dims, y, 0).unwrap();
            match &settled {
                Some(settled) => settled.settle(recording, (energies, gradients), y).unwrap(),
                None => settled = Some(SettledChains::begin(recording, (energies, gradients), y).unwrap()),
            }
            let [energy, gradient, moved] = [&energy, &gradient, &moved].map(|values| wide(values));
            expected = Some(reference_settle(expected.as_ref(), &energy, &gradient, &moved));
        }
        let (settled, expected) = (settled.unwrap(), expected.unwrap());
        let refused = settled.record_refused(&mut case.recording, y).unwrap();
        let slopes = case.poisoned("kept gradient", DType::F32, shape);
        keep_sample::record(&mut case.recording, settled.memory, settled.gradient_columns(), slopes, 0)
            .unwrap();
        case.output("refused", refused);
        case.expect_kernels(&[&["keep_sample", "settle_move"].repeat(4)[..], &["keep_sample"; 2]].concat());
        let results = case.run();
        // Where the reference is NaN it must be NaN, and is compared as a number.
        let shown = |found: Vec<f32>, expected: &[f64]| -> Vec<f32> {
            found.iter().zip(expected).map(|(v, e)| if v.is_nan() && e.is_nan() { 7.0 } else { *v }).collect()
        };
        let hidden =
            |values: &[f64]| values.iter().map(|v| if v.is_nan() { 7.0 } else { *v }).collect::<Vec<_>>();
        let found = shown(results.get("y"), &expected.y);
        results.expect("y", &found, &hidden(&expected.y), |_: usize| 0.0);
        let found = shown(results.get("kept gradient"), &expected.gradient);
        results.expect("kept gradient", &found, &hidden(&expected.gradient), |_: usize| 0.0);
        results.expect("refused", &results.get("refused"), &expected.refused, |_: usize| 0.0);
        assert!(rows < 12 || expected.refused.iter().any(|&count| count > 0.0));
        assert!(rows < 12 || expected.y.iter().any(|v| v.is_nan()));
    }
}

/// `|y|^2 / 2` for `y0 > 0`; beyond, either the energy or the gradient is infinite.
fn half_plane(spoils_gradient: bool) -> ShaderEnergyOptions {
    ShaderEnergyOptions::new(0, 3, Gradient::Written)
        .number("energy_beyond", if spoils_gradient { 0u32 } else { 0x7f800000 })
        .number("gradient_beyond", if spoils_gradient { 0x7fc00000u32 } else { 0 })
}

const HALF_PLANE: &str = "
    fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 {
        let value = 0.5 * (y[0] * y[0] + y[1] * y[1] + y[2] * y[2]);
        return bitcast<f32>(select(energy_beyond, bitcast<u32>(value), y[0] > 0.0));
    }
    fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {
        let first = bitcast<f32>(select(gradient_beyond, bitcast<u32>(y[0]), y[0] > 0.0));
        return array<f32, DIMS>(first, y[1], y[2]);
    }";

fn moves_beyond_a_wall_are_refused_and_leave_the_others_their_bits(adapter: &Adapter) {
    let (shape, steps) = ([2, 33, 3], 12);
    let rows = 66;
    for spoils_gradient in [false, true] {
        let walk = |options: ShaderEnergyOptions, kernels: &[&str]| {
            let energy = ShaderEnergy::new("half", "half.wgsl", HALF_PLANE, options).unwrap();
            let mut case = Case::new(adapter, format!("behind a wall, {spoils_gradient}"));
            case.run_state(5, 6);
            // One in eleven starts beyond the wall, others near it and far from it.
            let mut starts = data(91, rows * 3);
            for (row, y) in starts.chunks_exact_mut(3).enumerate() {
                y[0] = if row % 11 == 7 { -0.5 } else { 0.1 + 0.1 * (row % 30) as f32 };
            }
            let y = case.input("y", shape, &starts);
            let value = case.poisoned("trace", DType::F32, [steps, 2, 33, 3]);
            let trace = Some(SampleTrace { value, thin: 1 });
            let chain = Langevin::default().with_steps(steps);
            let chain = chain.with_step_sizes(StepSchedule::Constant { value: 0.02 });
            let inputs = ChainInputs { energy: &energy, context: None, y, stream: "test/wall", trace };
            let outputs = Dynamics::from(chain).record(&mut case.recording, &inputs).unwrap();
            case.knob(outputs.step_scale, 1.0);
            case.knob(outputs.temperature, 1.0);
            if let Some(refused) = outputs.refused {
                case.output("refused", refused);
            }
            let lost = mark_lost::record(&mut case.recording, y).unwrap();
            case.output("lost", lost);
            case.expect_kernels(kernels);
            (case.run(), starts)
        };
        let step = ["langevin", "shader_energy", "settle_move", "keep_sample"].repeat(steps);
        let kernels = [&["shader_energy", "settle_move"][..], &step, &["keep_sample", "mark_lost"]].concat();
        let (results, starts) = walk(half_plane(spoils_gradient), &kernels);
        let open = ["shader_energy", "langevin", "keep_sample"].repeat(steps);
        let (free, _) =
            walk(half_plane(spoils_gradient).without_walls(), &[&open[..], &["mark_lost"]].concat());
        let (ends, others): (Vec<f32>, Vec<f32>) = (results.get("y"), free.get("y"));
        let (trace, lost): (Vec<f32>, Vec<f32>) = (results.get("trace"), results.get("lost"));
        let refused: Vec<f32> = results.get("refused");
        let (mut moved, mut stayed) = (0, 0);
        for row in 0..rows {
            let at = 3 * row..3 * row + 3;
            let what = format!("{}, row {row}", adapter.name);
            if starts[3 * row] < 0.0 {
                assert!(ends[at].iter().all(|v| v.is_nan()), "{what}: {ends:?}");
                assert_eq!((lost[row], refused[row]), (1.0, 0.0), "{what}");
                continue;
            }
            let path = |step: usize| &trace[3 * (rows * step + row)..][..3];
            let repeats = (0..steps)
                .filter(|&step| path(step) == if step == 0 { &starts[at.clone()] } else { path(step - 1) });
            assert_eq!(repeats.count() as f32, refused[row], "{what}");
            assert!((0..steps).all(|step| path(step)[0] > 0.0), "{what}");
            assert_eq!(lost[row], 0.0, "{what}");
            if refused[row] > 0.0 {
                stayed += 1;
                continue;
            }
            moved += 1;
            let bits = |values: &[f32]| values.iter().map(|v| v.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&ends[at.clone()]), bits(&others[at]), "{what}");
        }
        assert!(moved > 20 && stayed > 5, "{moved} {stayed}");
    }
}
