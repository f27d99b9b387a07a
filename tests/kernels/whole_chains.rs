//! Floor 4: whole chains with a warm-up, step by step.

use gibbs::energy::Energy;
use gibbs::gpu::{Bindings, DType, Recording, Value};
use gibbs::math::Scales;
use gibbs::mcmc::{ChainInputs, Hamiltonian, Mala, SampleTrace, StepSchedule};
use gibbs_reference::mcmc as reference;
use gibbs_reference::mcmc::adapt_step::Tuner;
use gibbs_reference::mcmc::leapfrog::outside;
use gibbs_reference::mcmc::metropolis::{acceptance, gain};

use super::chains::{SEED, STEP, bounds, noise, scales, uniforms};

use crate::common::{Adapter, Case, data, every_adapter, wide};

every_adapter!(whole_chains_equal_the_reference,);

/// An energy whose values and gradients are given tensors, wherever it is asked: chains meet known
/// numbers.
pub(super) struct Given {
    pub(super) shape: [usize; 3],
}

impl Energy for Given {
    fn dims(&self) -> usize {
        self.shape[2]
    }
    fn record_value(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        recording.slot("energy", DType::F32, [self.shape[0] * self.shape[1], 1])
    }
    fn record_gradient(&self, recording: &mut Recording, _: Option<Value>, _: Value) -> gibbs::Result<Value> {
        recording.slot("gradient", DType::F32, self.shape)
    }
    fn bindings(&self) -> Bindings {
        Bindings::new()
    }
}

/// One chain as the reference runs it on [`Given`]: positions after every counted step, the
/// accepted count, and whether a decision or a border was within rounding.
struct Replay {
    y: Vec<Vec<f64>>,
    accepted: Vec<f64>,
    close: Vec<bool>,
    factor: f64,
}

fn replay(
    chain: &Hamiltonian,
    eps: impl Fn(f64) -> f64,
    start: &[f64],
    energy_gradient: &[f64],
    dims: usize,
) -> Replay {
    let rows = start.len() / dims;
    let bounds = chain.bounds.as_ref().unwrap();
    let (low, high) = (wide(bounds.low()), wide(bounds.high()));
    let scales = chain.scales.as_ref().map_or(vec![1.0; dims], |scales| wide(scales.values()));
    let mut y = gibbs_reference::math::clip_chains(start, &low, &high);
    let mut all = Replay { y: Vec::new(), accepted: vec![0.0; rows], close: vec![false; rows], factor: 1.0 };
    let mut step_adaptation = Tuner { factor: 1.0, log_mean: 0.0, deficit: 0.0 };
    for inner in 0..chain.warmup + chain.steps {
        let index = inner.saturating_sub(chain.warmup);
        let eps = eps(chain.step_sizes.at(index, chain.steps) * step_adaptation.factor);
        let temperature = chain.temperatures.at(index, chain.steps);
        let n = noise("test/momentum", inner, rows, dims);
        let begun = reference::begin_leapfrog(&y, energy_gradient, &n, &scales, eps, temperature);
        let (mut h, mut proposed) = (begun.momentum, begun.proposed);
        for _ in 1..chain.leapfrogs {
            (h, proposed) = reference::leapfrog(&h, &proposed, energy_gradient, &scales, eps);
        }
        let beyond = outside(&proposed, &low, &high);
        let gains = gain(&begun.kinetic, &vec![0.0; rows], (energy_gradient, &h), &scales, eps);
        let u = uniforms("test/accept", inner, rows);
        let mut chances = 0.0;
        for row in 0..rows {
            let at = row * dims..(row + 1) * dims;
            let edge = |j: usize| {
                let v = proposed[row * dims + j];
                (v - low[j]).abs() < 1e-4 || (v - high[j]).abs() < 1e-4
            };
            all.close[row] |= (gains[row] / temperature - u[row].ln()).abs() < 1e-4 || (0..dims).any(edge);
            chances += if beyond[row] { 0.0 } else { acceptance(gains[row], temperature) };
            if !beyond[row] && reference::metropolis(gains[row], temperature, u[row]) {
                y[at.clone()].copy_from_slice(&proposed[at]);
                all.accepted[row] += f64::from(u8::from(inner >= chain.warmup));
            }
        }
        match inner < chain.warmup {
            true => {
                let mean = chances / rows as f64;
                step_adaptation = reference::adapt_step(
                    step_adaptation,
                    mean,
                    chain.target_acceptance,
                    inner + 1,
                    chain.warmup,
                );
            }
            false => all.y.push(y.clone()),
        }
    }
    all.factor = step_adaptation.factor;
    all
}

fn whole_chains_equal_the_reference(adapter: &Adapter) {
    let step_sizes = StepSchedule::Geometric { first: 0.05, last: 0.01 };
    let temperatures = StepSchedule::Polynomial { first: 2.0, last: 0.5, power: 2.0 };
    for (shape, leapfrogs, warmup, scaled) in [
        ([7, 9, 3], 1, 0, false),
        ([7, 9, 3], 1, 3, true),
        ([1, 65, 2], 3, 0, true),
        ([5, 13, 5], 3, 2, false),
    ] {
        let dims = shape[2];
        let n: usize = shape.iter().product();
        // Some starts outside the box.
        let start: Vec<f32> = data(71, n).iter().map(|v| 1.3 * v).collect();
        let energy_gradient = data(72, n);
        let (bounds, ..) = bounds(dims);
        let chain = Hamiltonian::default()
            .with_steps(4)
            .with_leapfrogs(leapfrogs)
            .with_step_sizes(step_sizes)
            .with_temperatures(temperatures)
            .with_warmup(warmup)
            .with_target_acceptance(0.7)
            .with_bounds(bounds)
            .with_scales(scaled.then(|| Scales::new(&scales(dims)).unwrap()));
        let mut case = Case::new(
            adapter,
            format!("chains {shape:?}, {leapfrogs} leapfrogs, warm-up {warmup}, {scaled}"),
        );
        case.run_state(SEED, STEP);
        case.input("gradient", shape, &energy_gradient);
        case.input("energy", [n / dims, 1], &data(73, n / dims));
        let y = case.input("y", shape, &start);
        let trace = case.poisoned("trace", DType::F32, [2, shape[0], shape[1], dims]);
        let energy = Given { shape };
        let trace = Some(SampleTrace { value: trace, thin: 2 });
        let inputs = ChainInputs { energy: &energy, context: None, y, stream: "test", trace };
        let adjusted = leapfrogs == 1;
        let walked = match adjusted {
            true => {
                let Hamiltonian { steps, bounds, scales, target_acceptance, .. } = chain.clone();
                Mala::default()
                    .with_steps(steps)
                    .with_step_sizes(step_sizes)
                    .with_temperatures(temperatures)
                    .with_warmup(warmup)
                    .with_target_acceptance(target_acceptance)
                    .with_bounds(bounds)
                    .with_scales(scales)
                    .record(&mut case.recording, &inputs)
                    .unwrap()
            }
            false => chain.record(&mut case.recording, &inputs).unwrap(),
        };
        case.output("accepted", walked.accepted.unwrap());
        case.output("rounded", walked.rounded.unwrap());
        case.output("step_adaptation", walked.step_adaptation.unwrap());
        for knob in [walked.step_scale, walked.temperature] {
            case.knob(knob, 1.0);
        }
        let mut stems = vec!["clip_chains", "begin_chains"];
        for step in 0..warmup + 4 {
            stems.push("begin_leapfrog");
            stems.extend(vec!["leapfrog"; leapfrogs - 1]);
            stems.push("metropolis");
            match step {
                _ if step < warmup => stems.push("adapt_step"),
                _ if (step - warmup) % 2 == 1 => stems.push("keep_sample"),
                _ => {}
            }
        }
        stems.extend(["keep_sample"; 2]);
        case.expect_kernels(&stems);
        let results = case.run();
        let eps = |size: f64| if adjusted { (2.0 * size).sqrt() } else { size };
        let expected = replay(&chain, eps, &wide(&start), &wide(&energy_gradient), dims);
        let ties = expected.close.iter().filter(|&&tie| tie).count();
        let rows = n / dims;
        assert!(ties * 10 <= rows, "{ties} of {rows} chains met a tie");
        let bound = |at: usize| if expected.close[at % n / dims] { 10.0 } else { 2e-4 };
        results.expect("y", &results.get("y"), &expected.y[3], bound);
        results.expect(
            "trace",
            &results.get("trace"),
            &[expected.y[1].clone(), expected.y[3].clone()].concat(),
            bound,
        );
        let of_row = |row: usize| if expected.close[row] { 10.0 } else { 0.0 };
        results.expect("accepted", &results.get("accepted"), &expected.accepted, of_row);
        assert!(results.get::<f32>("rounded").iter().all(|&v| v == 0.0));
        let total: f64 = expected.accepted.iter().sum();
        assert!(total > 0.0 && total < 4.0 * rows as f64, "both decisions are met");
        let factor = results.get::<f32>("step_adaptation")[0];
        results.expect("factor", &[factor], &[expected.factor], |_: usize| 2e-3 * expected.factor);
    }
}
