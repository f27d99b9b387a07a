//! Samplers as users meet them: starts, traces, acceptance, errors, and what the host does
//! meanwhile.

use crate::common::{data, lavapipe};
use gibbs::energy::{
    Gradient, NetworkEnergy, QuadraticEnergy, ShaderEnergy, ShaderEnergyOptions, evaluate_energy,
};
use gibbs::gpu::{DType, Points, Recording};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{
    ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala, Return,
    StepSchedule, cumulative_weights, diagnostics,
};
use gibbs::nn::{ACTION, Activation, CONTEXT, Fusion, Input, Model, Network};
use gibbs::proposal::UniformBox;
use gibbs::{Error, Gpu};

const DIMS: usize = 2;

/// A random network; conditional on two numbers if asked.
fn energy(gpu: &Gpu, conditional: bool) -> NetworkEnergy {
    let mut inputs = vec![Input::new(ACTION, DIMS)];
    if conditional {
        inputs.push(Input::new(CONTEXT, 2));
    }
    let network = Network::mlp(inputs, &[16], Activation::Silu, 1);
    let model = Model::zeros(gpu, "energy", network).unwrap();
    let count = model.parameters().shape().len();
    model.parameters().write(gpu, &data(9, count)).unwrap();
    NetworkEnergy::new(model).unwrap()
}

fn square() -> UniformBox {
    UniformBox::new(&[-1.0; DIMS], &[2.0; DIMS]).unwrap()
}

fn mala(steps: usize, warmup: usize) -> Mala {
    Mala::default().with_steps(steps).with_warmup(warmup).with_bounds(Bounds::from(square()))
}

fn all_dynamics() -> [Dynamics; 4] {
    let hamiltonian = Hamiltonian::default()
        .with_steps(6)
        .with_leapfrogs(3)
        .with_warmup(4)
        .with_bounds(Bounds::from(square()));
    let langevin = Langevin::default().with_steps(6).with_bounds(Bounds::from(square()));
    [
        langevin.into(),
        mala(6, 4).into(),
        hamiltonian.into(),
        DerivativeFreeOptimizer::new(square().into()).with_steps(6).into(),
    ]
}

fn options(dynamics: impl Into<Dynamics>, returns: Return) -> ChainOptions {
    ChainOptions::default()
        .with_contexts(3)
        .with_chains(7)
        .with_dynamics(dynamics)
        .with_returns(returns)
        .with_seed(5)
        .with_context_width(2)
}

#[test]
fn a_trace_holds_every_thinned_step_and_ends_where_the_chains_end() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, true);
    let context = data(1, 6);
    for dynamics in all_dynamics() {
        let run = |returns| {
            let mut sampler =
                ChainSampler::new(gpu, &energy, &square(), &options(dynamics.clone(), returns)).unwrap();
            let result = sampler.sample(&context).unwrap();
            assert_eq!(sampler.result().shape().len(), result.len());
            assert_eq!(sampler.run_state().step(gpu).unwrap(), 1);
            result
        };
        let (ends, whole, thinned) =
            (run(Return::All), run(Return::SampleTrace { thin: 1 }), run(Return::SampleTrace { thin: 2 }));
        let n = 3 * 7 * DIMS;
        assert_eq!((ends.len(), whole.len(), thinned.len()), (n, 6 * n, 3 * n));
        assert_eq!(whole[5 * n..], ends[..], "{dynamics:?}");
        for place in 0..3 {
            assert_eq!(thinned[place * n..(place + 1) * n], whole[(2 * place + 1) * n..(2 * place + 2) * n]);
        }
        assert_ne!(whole[..n], whole[5 * n..], "{dynamics:?}: nothing moved");
        assert!(whole.iter().all(|y| (-1.0..=2.0).contains(y)), "{dynamics:?}");
        assert_eq!(run(Return::Lowest).len(), 3 * DIMS);
    }
}

#[test]
fn fused_chains_return_what_a_dispatch_per_layer_returns() {
    let gpu = &lavapipe().gpu;
    let context = data(1, 6);
    let chain = Langevin::default()
        .with_steps(12)
        .with_bounds(Bounds::from(square()))
        .with_step_sizes(StepSchedule::Geometric { first: 0.02, last: 0.005 })
        .with_quiet_last(true);
    for returns in [Return::All, Return::Lowest, Return::SampleTrace { thin: 5 }] {
        let run = |fusion| {
            let energy = energy(gpu, true).with_fusion(fusion);
            let options = options(chain.clone(), returns);
            let mut sampler = ChainSampler::new(gpu, &energy, &square(), &options).unwrap();
            sampler.tune(0.5, 2.0).unwrap();
            (sampler.sample(&context).unwrap(), sampler.plan().dispatches())
        };
        let ((fused, few), (layers, many)) = (run(Fusion::Always), run(Fusion::Never));
        assert!(few + 12 * 4 < many, "{few} dispatches against {many}");
        assert_eq!(fused.len(), layers.len());
        for (found, expected) in fused.iter().zip(&layers) {
            assert!((found - expected).abs() < 2e-5, "{returns:?}: {found} {expected}");
        }
    }
}

/// The kernel for whole networks has an affine output: activated ones go layer by layer.
#[test]
fn an_activation_behind_the_last_layer_counts_with_every_choice_of_kernels() {
    let gpu = &lavapipe().gpu;
    let mut network = Network::mlp(vec![Input::new(ACTION, DIMS)], &[16], Activation::Silu, 1);
    network.layers.push(gibbs::nn::Layer::Activate(Activation::Softplus));
    let model = Model::zeros(gpu, "bounded", network).unwrap();
    let count = model.parameters().shape().len();
    model.parameters().write(gpu, &data(9, count)).unwrap();
    let y = data(3, 20 * DIMS);
    let values = |fusion| {
        let energy = NetworkEnergy::new(model.clone()).unwrap().with_fusion(fusion);
        let points = Points { context: &[], contexts: 1, y: &y, dims: DIMS };
        evaluate_energy(gpu, &energy, &points).unwrap()
    };
    let layers = values(Fusion::Never);
    assert!(layers.iter().all(|energy| *energy > 0.0), "softplus is positive: {layers:?}");
    assert_eq!(values(Fusion::Always), layers);
}

#[test]
fn fused_chains_have_the_statistics_of_a_dispatch_per_layer() {
    let gpu = &lavapipe().gpu;
    let context = data(1, 6);
    let chain = Langevin::default().with_steps(150).with_bounds(Bounds::from(square()));
    let moments = |fusion| {
        let energy = energy(gpu, true).with_fusion(fusion);
        let options = options(chain.clone(), Return::All).with_chains(200);
        let ends = ChainSampler::new(gpu, &energy, &square(), &options).unwrap().sample(&context).unwrap();
        [0, 1].map(|j: usize| {
            let values = || ends.iter().skip(j).step_by(DIMS).map(|&v| f64::from(v));
            let n = values().count() as f64;
            let mean = values().sum::<f64>() / n;
            [mean, values().map(|v| (v - mean) * (v - mean)).sum::<f64>() / n]
        })
    };
    let (fused, layers) = (moments(Fusion::Always), moments(Fusion::Never));
    // The draws are the same, so that only chains that part after a rounding differ; the spread of
    // the box is 0.75.
    for (found, expected) in fused.iter().flatten().zip(layers.iter().flatten()) {
        assert!((found - expected).abs() < 0.02, "{fused:?} {layers:?}");
    }
    assert!(layers.iter().all(|[_, variance]| *variance > 0.05), "{layers:?}");
}

#[test]
fn chains_start_at_given_points_and_need_no_context() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, false);
    let starts: Vec<f32> = data(2, 3 * 7 * DIMS);
    // Steps too small to leave the start.
    let still = mala(3, 0).with_step_sizes(StepSchedule::Constant { value: 1e-14 });
    let options = options(still, Return::All).with_context_width(0);
    let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
    let ends = sampler.sample_from(&[], &starts).unwrap();
    for (end, start) in ends.iter().zip(&starts) {
        assert!((end - start).abs() < 1e-5, "{end} from {start}");
    }
    assert!(sampler.context().is_none());
    assert_eq!(gpu.read::<f32>(sampler.start().unwrap()).unwrap(), starts, "starts stay");
    assert!(sampler.acceptance().unwrap().iter().all(|&share| share == 1.0));
    // An unconditional energy with a proposal that takes no context.
    let mut drawn = ChainSampler::new(gpu, &energy, &square(), &options).unwrap();
    assert!(drawn.start().is_none());
    assert_eq!(drawn.sample(&[]).unwrap().len(), ends.len());
    let refused = drawn.sample_from(&[], &starts).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert!(matches!(drawn.sample(&[1.0]), Err(Error::Shape { .. })));
    assert!(matches!(sampler.sample_from(&[], &starts[1..]), Err(Error::Shape { .. })));
}

#[test]
fn a_start_without_a_finite_energy_comes_back_as_such() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, false);
    let mut starts = data(2, 3 * 7 * DIMS);
    starts[4] = f32::NAN;
    for dynamics in all_dynamics() {
        if matches!(dynamics, Dynamics::DerivativeFreeOptimizer(_)) {
            continue;
        }
        let options = options(dynamics.clone(), Return::All).with_context_width(0);
        let mut sampler = ChainSampler::from_points(gpu, &energy, &options).unwrap();
        let ends = sampler.sample_from(&[], &starts).unwrap();
        assert!(!ends[4].is_finite(), "{dynamics:?}: {}", ends[4]);
        assert!(ends[..4].iter().chain(&ends[6..]).all(|y| y.is_finite()), "{dynamics:?}");
    }
    // An energy that does not see the fault, as a ReLU of NaN may not: the coordinate shows it all
    // the same.
    let flat = ShaderEnergy::new(
        "flat",
        "flat.wgsl",
        "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return 0.0; }\n\
         fn energy_gradient(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> array<f32, DIMS> {\n\
             var slopes: array<f32, DIMS>;\n    return slopes;\n}\n",
        ShaderEnergyOptions::new(0, DIMS, Gradient::Written),
    )
    .unwrap();
    for dynamics in all_dynamics() {
        let options = options(dynamics.clone(), Return::All).with_context_width(0);
        let mut sampler = ChainSampler::from_points(gpu, &flat, &options).unwrap();
        for fault in [f32::NAN, f32::INFINITY] {
            starts.fill(fault);
            starts[..DIMS].fill(0.25);
            starts[7 * DIMS..8 * DIMS].fill(0.25);
            // The optimizer draws the living again in place of the others.
            let again = matches!(dynamics, Dynamics::DerivativeFreeOptimizer(_));
            let lost = if again { "7 of 21 chains" } else { "19 of 21 chains" };
            expect(sampler.sample_from(&[], &starts), &[lost, "1 of 3 contexts", "first is 2"]);
            let ends: Vec<f32> = gpu.read(sampler.result()).unwrap();
            assert!(ends[..DIMS].iter().all(|y| y.is_finite()), "{dynamics:?}: {ends:?}");
            for context in ends[..14 * DIMS].chunks_exact(7 * DIMS) {
                let others = &context[DIMS..];
                assert!(others.iter().all(|y| y.is_finite() == again), "{dynamics:?}: {ends:?}");
            }
            assert!(ends[14 * DIMS..].iter().all(|y| !y.is_finite()), "{dynamics:?}: {ends:?}");
        }
    }
}

/// Five correlated coordinates from starts far off: the law must be reached, not only kept.
#[test]
fn adjusted_chains_find_the_law_of_five_correlated_coordinates() {
    let gpu = &lavapipe().gpu;
    let (dims, chains) = (5, 8192);
    let mean = [0.5, -0.25, 0.0, 1.0, -1.0];
    let variances = [0.25, 0.5, 1.0, 0.75, 1.5];
    // The inverse covariance of x_0 = z_0, x_j = z_j + x_{j-1} / 2 with independent z of these
    // variances.
    let mut inverse = vec![0.0; dims * dims];
    for (j, variance) in variances.iter().enumerate() {
        inverse[j * dims + j] += 1.0 / variance;
        if j > 0 {
            inverse[(j - 1) * dims + j - 1] += 0.25 / variance;
            inverse[j * dims + j - 1] -= 0.5 / variance;
            inverse[(j - 1) * dims + j] -= 0.5 / variance;
        }
    }
    let mut exact = variances;
    for j in 1..dims {
        exact[j] += 0.25 * exact[j - 1];
    }
    let energy = QuadraticEnergy::full(&mean, &inverse).unwrap();
    let start = UniformBox::new(&[-4.0; 5], &[4.0; 5]).unwrap();
    let mala = Mala::default()
        .with_steps(150)
        .with_step_sizes(StepSchedule::Constant { value: 0.2 })
        .with_warmup(50);
    let hamiltonian = Hamiltonian::default()
        .with_steps(40)
        .with_leapfrogs(5)
        .with_step_sizes(StepSchedule::Constant { value: 0.3 })
        .with_warmup(40);
    for dynamics in [Dynamics::from(mala), hamiltonian.into()] {
        let options =
            ChainOptions::default().with_chains(chains).with_dynamics(dynamics.clone()).with_seed(5);
        let ends = ChainSampler::new(gpu, &energy, &start, &options).unwrap().sample(&[]).unwrap();
        for j in 0..dims {
            let of = || ends.iter().skip(j).step_by(dims).map(|&y| f64::from(y));
            let found = of().sum::<f64>() / chains as f64;
            let spread = of().map(|y| (y - mean[j]).powi(2)).sum::<f64>() / chains as f64;
            let (mean_error, error) =
                ((exact[j] / chains as f64).sqrt(), exact[j] * (2.0 / chains as f64).sqrt());
            assert!((found - mean[j]).abs() < 4.0 * mean_error, "{dynamics:?}: mean {j} is {found}");
            assert!(
                (spread - exact[j]).abs() < 4.0 * error,
                "{dynamics:?}: variance {j} is {spread}, not {}",
                exact[j]
            );
        }
    }
}

#[test]
fn acceptance_and_step_size_are_read_afterwards() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, true);
    let context = data(1, 6);
    let make = |dynamics: Dynamics| {
        let mut sampler =
            ChainSampler::new(gpu, &energy, &square(), &options(dynamics, Return::All)).unwrap();
        sampler.sample(&context).unwrap();
        sampler
    };
    let plain = make(mala(8, 0).into());
    assert!((plain.step_size().unwrap() - 0.1).abs() < 1e-7);
    let shares = plain.acceptance().unwrap();
    assert_eq!(shares.len(), 21);
    let whole = |share: &f32| (0.0..=1.0).contains(share) && (share * 8.0).fract() == 0.0;
    assert!(shares.iter().all(whole) && shares.iter().any(|&share| share > 0.0), "{shares:?}");
    let learned = make(mala(8, 30).into());
    assert!((learned.step_size().unwrap() - 0.1).abs() > 1e-3, "{}", learned.step_size().unwrap());
    let [langevin, .., dfo] = all_dynamics();
    for dynamics in [langevin, dfo] {
        let sampler = make(dynamics);
        assert!(matches!(sampler.acceptance(), Err(Error::Unsupported { .. })));
        assert!(matches!(sampler.step_size(), Err(Error::Unsupported { .. })));
    }
}

#[test]
fn a_run_is_nothing_but_submits() {
    // Counters belong to a context: one of its own, for other tests run at the same time.
    let gpu = &lavapipe().reopen(false);
    let energy = energy(gpu, true);
    for dynamics in all_dynamics() {
        let options = options(dynamics.clone(), Return::SampleTrace { thin: 2 });
        let sampler = ChainSampler::new(gpu, &energy, &square(), &options).unwrap();
        gpu.wait().unwrap();
        let before = gpu.counters();
        sampler.plan().run(3).unwrap();
        gpu.wait().unwrap();
        let done = gpu.counters() - before;
        assert_eq!(done.dispatches, 3 * sampler.plan().dispatches() as u64);
        let idle = (done.host_writes, done.blocking_readbacks, done.async_readbacks);
        assert_eq!(idle, (0, 0, 0), "{dynamics:?}");
        assert_eq!((done.bind_groups, done.pipelines, done.buffers), (0, 0, 0), "{dynamics:?}");
        assert_eq!(sampler.run_state().step(gpu).unwrap(), 3);
    }
}

#[test]
fn a_sample_waits_once_and_its_lost_chains_are_marked_once() {
    let gpu = &lavapipe().reopen(false);
    let bowl = QuadraticEnergy::isotropic(&[0.0; DIMS], 1.0).unwrap();
    let text =
        "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return y[0] * y[0] + y[1] * y[1]; }";
    let differences = ShaderEnergyOptions::new(0, DIMS, Gradient::CentralDifferences { step: 1e-2 });
    let walled = ShaderEnergy::new("walled", "walled.wgsl", text, differences.clone()).unwrap();
    let open = ShaderEnergy::new("open", "open.wgsl", text, differences.without_walls()).unwrap();
    for dynamics in all_dynamics() {
        let dispatches = |energy: &dyn gibbs::energy::Energy, returns| {
            let options = options(dynamics.clone(), returns).with_context_width(0);
            let mut sampler = ChainSampler::new(gpu, energy, &square(), &options).unwrap();
            let before = gpu.counters();
            sampler.sample(&[]).unwrap();
            assert_eq!((gpu.counters() - before).blocking_readbacks, 1, "{dynamics:?}");
            assert_eq!((sampler.stats().runs, sampler.stats().lost_chains), (1, 0));
            sampler.plan().dispatches()
        };
        let all = dispatches(&bowl, Return::All);
        // The energy, where it can be chosen by, and the choice.
        assert_eq!(dispatches(&bowl, Return::Lowest), all + 3, "{dynamics:?}");
        // The starts in their box, their settling, one per step and the counts; nothing where there
        // are no walls.
        let settling = if matches!(dynamics, Dynamics::Langevin(_)) { 3 + dynamics.steps() + 1 } else { 0 };
        assert_eq!(dispatches(&open, Return::All), all, "{dynamics:?}");
        assert_eq!(dispatches(&walled, Return::All), all + settling, "{dynamics:?}");
    }
}

#[test]
fn long_chains_of_a_network_mix() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, false);
    let dynamics = mala(400, 100);
    let shape = [400, 1, 8, DIMS];
    let options = ChainOptions::default()
        .with_chains(8)
        .with_dynamics(dynamics)
        .with_returns(Return::SampleTrace { thin: 1 });
    let mut sampler = ChainSampler::new(gpu, &energy, &square(), &options).unwrap();
    let trace = sampler.sample(&[]).unwrap();
    let mean = sampler.acceptance().unwrap().iter().sum::<f32>() / 8.0;
    assert!((0.4..0.8).contains(&mean), "{mean}");
    let summary = diagnostics::summarize(&trace, shape, 0).unwrap();
    eprintln!("{summary:?}");
    assert!(summary.has_mixed(1.1), "{summary:?}");
    for of_dimension in &summary.dims {
        assert!(of_dimension.ess.is_some_and(|ess| ess > 80.0) && of_dimension.std > 0.1, "{summary:?}");
    }
}

#[track_caller]
fn expect<T>(result: gibbs::Result<T>, parts: &[&str]) {
    let text = result.err().expect("an error").to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}: {parts:?}");
}

#[test]
fn bad_dynamics_are_named() {
    let gpu = &lavapipe().gpu;
    let energy = energy(gpu, true);
    let make =
        |dynamics: Dynamics, returns| ChainSampler::new(gpu, &energy, &square(), &options(dynamics, returns));
    let bad = |dynamics: Dynamics, parts: &[&str]| expect(make(dynamics, Return::All), parts);
    let good = mala(4, 0);
    let zero = StepSchedule::Constant { value: 0.0 };
    bad(good.clone().with_steps(0).into(), &["mala", "steps", "is 0"]);
    bad(good.clone().with_warmup(65532).into(), &["mala", "the warm-up", "65535"]);
    bad(good.clone().with_warmup(1).into(), &["mala", "the warm-up", "1 step", "take 0"]);
    bad(Hamiltonian::default().with_warmup(1).into(), &["hamiltonian", "the warm-up", "1 step", "take 0"]);
    bad(good.clone().with_step_sizes(zero).into(), &["mala", "step sizes", "positive"]);
    bad(good.clone().with_temperatures(zero).into(), &["mala", "temperatures", "positive"]);
    bad(good.clone().with_target_acceptance(1.0).into(), &["mala", "target acceptance", "between 0 and 1"]);
    let flat = Bounds::new(&[0.0], &[1.0]).unwrap();
    bad(good.clone().with_bounds(flat.clone()).into(), &["mala", "the box", "1 dimension,"]);
    let scales = Scales::new(&[1.0]).unwrap();
    bad(good.clone().with_scales(scales.clone()).into(), &["mala", "the scales", "1 dimension,"]);
    bad(Hamiltonian::default().with_scales(scales).into(), &["hamiltonian", "the scales", "1 dimension,"]);
    let none = Hamiltonian::default().with_leapfrogs(0);
    bad(none.into(), &["hamiltonian", "leapfrog steps", "at least one"]);
    let cold = StepSchedule::Constant { value: -1.0 };
    bad(Langevin::default().with_temperatures(cold).into(), &["langevin", "temperatures"]);
    bad(DerivativeFreeOptimizer::new(flat).into(), &["dfo", "the box", "1 dimension,"]);
    bad(DerivativeFreeOptimizer::new(square().into()).with_steps(0).into(), &["dfo", "steps", "is 0"]);
    bad(
        DerivativeFreeOptimizer::new(square().into()).with_noise(-0.1).into(),
        &["dfo", "noise", "not negative"],
    );
    bad(DerivativeFreeOptimizer::new(square().into()).with_shrink(f64::NAN).into(), &["dfo", "noise"]);
    bad(DerivativeFreeOptimizer::new(square().into()).with_shrink(1e30).into(), &["dfo", "noise"]);
    for thin in [0, 5] {
        expect(make(good.clone().into(), Return::SampleTrace { thin }), &["sampler", "thin", "1 to", "4"]);
    }
    let mut recording = Recording::new("run");
    let many = recording.slot("energy", DType::F32, [cumulative_weights::MAX_SAMPLES + 1, 1]).unwrap();
    let knob = recording.knob("temperature", 1.0);
    let shape = [1, cumulative_weights::MAX_SAMPLES + 1];
    let drawn = cumulative_weights::record(&mut recording, many, knob, shape);
    expect(drawn, &["cumulative weights", "samples", "1048577", "1048576"]);
    // A context that nobody reads, of chains, of a reverse process and of its likelihoods.
    let unconditional = self::energy(gpu, false);
    let given = options(good.clone(), Return::All);
    let unread = ["sampler", "context width", "is 2", "leave it 0"];
    expect(ChainSampler::new(gpu, &unconditional, &square(), &given), &unread);
    expect(ChainSampler::from_points(gpu, &unconditional, &given), &unread);
    let quadratic = QuadraticEnergy::isotropic(&[0.0; DIMS], 1.0).unwrap();
    expect(ChainSampler::new(gpu, &quadratic, &square(), &given), &unread);
    let lonely = options(good, Return::All).with_context_width(0);
    expect(ChainSampler::new(gpu, &energy, &square(), &lonely), &["energy", "context", "missing"]);
}

#[test]
fn options_travel_in_files() {
    for dynamics in all_dynamics() {
        let options = options(dynamics, Return::SampleTrace { thin: 2 });
        let text = serde_json::to_string(&options).unwrap();
        assert_eq!(serde_json::from_str::<ChainOptions>(&text).unwrap(), options, "{text}");
    }
    let short =
        r#"{"chains":4,"dynamics":{"kind":"mala","steps":9,"step_sizes":{"kind":"constant","eta":0.2}}}"#;
    let read: ChainOptions = serde_json::from_str(short).unwrap();
    let expected = Mala::default().with_steps(9).with_step_sizes(StepSchedule::Constant { value: 0.2 });
    assert_eq!(read, ChainOptions::default().with_chains(4).with_dynamics(expected));
}
