//! Wide rows, many candidates, many chains: what fits trains and acts, and what does not is refused
//! before the first step, with what was chosen and what to make smaller.

use gibbs::gpu::AdoptOptions;
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin};
use gibbs::nn::{ACTION, Activation, Input, Network, TIME};
use gibbs::policy::{Policy, PolicyOptions};
use gibbs::train::{Dataset, ProposalOptions, RankingNceOptions, TrainOptions, Trainer};
use gibbs::{Error, Gpu, Result, wgpu};
use tempfile::TempDir;

use super::runs::{fresh, gpu, pinwheel, tiny};

/// Rows that vary in every column.
fn rows(count: usize, x_width: usize, y_width: usize) -> Dataset {
    let values = |width: usize, rate: f32| (0..count * width).map(|at| (rate * at as f32).sin()).collect();
    match x_width {
        0 => Dataset::unconditional(values(y_width, 0.73), y_width),
        _ => Dataset::new(values(x_width, 0.37), x_width, values(y_width, 0.73), y_width),
    }
    .unwrap()
}

#[track_caller]
fn refused<T>(result: Result<T>, words: &[&str]) {
    let error = result.err().expect("it does not fit");
    assert!(matches!(error, Error::Limit { .. } | Error::Argument { .. }), "{error:?}");
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

fn ranking(options: RankingNceOptions) -> TrainOptions {
    TrainOptions::new(options).with_steps(2)
}

fn mixture(components: usize) -> RankingNceOptions {
    let mut options = RankingNceOptions::default();
    if let ProposalOptions::Mixture { components: taken, .. } = &mut options.proposal {
        *taken = components;
    }
    options
}

#[test]
fn six_hundred_columns_train_and_act_by_default() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.safetensors");
    let data = rows(64, 600, 600);
    let mut trainer = Trainer::new(gpu(), &data, ranking(RankingNceOptions::default())).unwrap();
    trainer.train(2, 2, &mut ()).unwrap();
    trainer.save(&path).unwrap();
    let action = Policy::load(gpu(), &path).unwrap().act(&vec![0.1; 600]).unwrap();
    assert!(action.len() == 600 && action.iter().all(|value| value.is_finite()));
    let [low, high] = [action.iter().copied().reduce(f32::min), action.iter().copied().reduce(f32::max)];
    assert!(low < high, "{low:?} {high:?}");

    let options = ChainOptions::default()
        .with_context_width(600)
        .with_chains(16)
        .with_dynamics(Langevin::default().with_steps(2));
    let (energy, proposal) = (trainer.averaged_energy().unwrap(), trainer.averaged_proposal().unwrap());
    let mut sampler = ChainSampler::new(gpu(), &energy, &*proposal, &options).unwrap();
    let ends = sampler.sample(&vec![0.1; 600]).unwrap();
    assert!(ends.len() == 16 * 600 && ends.iter().all(|value| value.is_finite()));
}

#[test]
fn what_does_not_fit_is_refused_before_the_first_step() {
    let new = |data: &Dataset, options: TrainOptions| Trainer::new(gpu(), data, options);
    refused(new(&rows(4, 1, 5000), ranking(mixture(1))), &["actions of 5000 columns", "at most 4096"]);
    refused(new(&rows(4, 5000, 2), ranking(mixture(1))), &["contexts of 5000 columns", "at most 4096"]);
    refused(
        new(&rows(4, 1, 3000), ranking(mixture(8))),
        &["components are 8 over 3000 columns", "at most 5", "uniform box"],
    );
    refused(
        new(&rows(4, 1, 600), ranking(mixture(2).with_negatives(1023))),
        &["the batch (128 rows)", "negatives (1023 each)", "actions (600)", "components (2)"],
    );
    let uniform = ProposalOptions::Uniform { low: vec![-1.5; 600], high: vec![1.5; 600] };
    refused(
        new(&rows(4, 1, 600), ranking(mixture(1).with_proposal(uniform).with_negatives(1023))),
        &["the batch (128 rows)", "negatives (1023 each)", "actions (600)"],
    );

    let network = |outputs: usize| {
        let inputs = vec![Input::new(ACTION, 600), Input::new(TIME, 1)];
        Network::mlp(inputs, &[16], Activation::Silu, outputs)
    };
    let batch = &["the batch (100000 rows of 1 samples)", "actions (600)", "parameters"];
    let score = TrainOptions::score(network(600)).with_batch(100_000);
    refused(new(&rows(4, 0, 600), score), batch);
    let labeled = rows(4, 0, 600).with_energies(vec![0.5; 4]).unwrap();
    let energy = TrainOptions::intermediate_energy(network(1), 1.0).with_batch(100_000);
    refused(new(&labeled, energy), batch);
}

#[test]
fn samplers_and_policies_that_are_too_large_say_what_they_are_large_by() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("run.safetensors");
    let mut trainer = fresh(&pinwheel(100, 1), &tiny(2));
    trainer.save(&path).unwrap();
    let (energy, proposal) = (trainer.averaged_energy().unwrap(), trainer.averaged_proposal().unwrap());
    let options = ChainOptions::default().with_contexts(4).with_context_width(1).with_chains(5_000_000);
    let sampler = ChainSampler::new(gpu(), &energy, &*proposal, &options);
    refused(sampler, &["5000000 chains for each of 4 contexts", "2 dimensions"]);
    let agents = PolicyOptions::new().with_agents(100_000);
    refused(
        Policy::load_with(gpu(), &path, &agents),
        &["100000 agents with 256 chains each", "2 numbers to a prediction"],
    );
}

#[test]
fn a_device_that_can_train_but_not_act_is_refused_before_the_first_step() {
    let adapters = Gpu::adapters(Some(wgpu::Backends::all().difference(wgpu::Backends::GL)));
    let is_own = |adapter: &&wgpu::Adapter| adapter.get_info().name == gpu().info().name;
    let adapter = adapters.iter().find(is_own).expect("found before");
    let limits = wgpu::Limits { max_storage_buffer_binding_size: 256 << 10, ..wgpu::Limits::default() };
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
    let gpu = Gpu::adopt(&device, &queue, AdoptOptions::default());
    let mut small = mixture(1).with_negatives(3);
    small.energy.hidden = vec![16];
    if let ProposalOptions::Mixture { hidden, .. } = &mut small.proposal {
        *hidden = vec![8];
    }
    // 256 chains of 300 numbers are more than this device binds, a step is less.
    let train =
        |columns: usize| Trainer::new(&gpu, &rows(32, 1, columns), ranking(small.clone()).with_batch(4));
    refused(train(300), &["gibbs/policy", "307200", "262144", "actions (300)"]);
    train(200).unwrap().train(2, 2, &mut ()).unwrap();
}
