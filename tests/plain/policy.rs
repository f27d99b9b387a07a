//! Policies: files of training that act, and what every agent is promised.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use crate::common::points::own_gpu;
use crate::common::{data, lavapipe};
use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergyNetwork, SamplingOptions, ScoreNetwork, SolverOptions,
};
use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{AdoptOptions, Bindings, DType, Gpu, Recording, RunState, Tensor};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{
    ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala, Return,
    StepSchedule,
};
use gibbs::nn::{ACTION, CONTEXT, TIME};
use gibbs::nn::{Activation, Input, Model, Network};
use gibbs::policy::{
    ChainInference, Choose, DiffusionInference, Inference, Policy, PolicyOptions, PolicyTensors, ProposalPart,
};
use gibbs::proposal::{Mixture, UniformBox, draw};
use gibbs::train::{
    Dataset, IntermediateEnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer,
};
use gibbs::{Error, wgpu};
use gibbs_reference::policy::Agent;
use gibbs_reference::policy::choose_action::choose_action;
use gibbs_reference::policy::observe::observe;

const SEED: u64 = 11;
const CONTEXTS: usize = 3;

/// Checkpoints of short runs of each kind with their trainers' own models.
struct Runs {
    folder: tempfile::TempDir,
    ranking: Trainer,
    score: Trainer,
    energy: Trainer,
}

impl Runs {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

fn gpu() -> &'static Gpu {
    &lavapipe().gpu
}

fn noised_network(outputs: usize) -> Network {
    let inputs = vec![Input::new(ACTION, 2), Input::new(TIME, 1), Input::new(CONTEXT, 2)];
    Network::mlp(inputs, &[16, 16], Activation::Silu, outputs)
}

/// Rows of a context and `support` actions near it.
fn rows(count: usize, support: usize) -> (Vec<f32>, Vec<f32>) {
    let x = data(1, 2 * count);
    let spread = data(2, 2 * count * support);
    let y =
        (0..2 * count * support).map(|at| x[at / (2 * support) * 2 + at % 2] + 0.3 * spread[at]).collect();
    (x, y)
}

fn ranking_options() -> RankingNceOptions {
    let mut options = RankingNceOptions::default().with_negatives(7);
    options.energy.hidden = vec![16, 16];
    if let ProposalOptions::Mixture { components, hidden, .. } = &mut options.proposal {
        (*components, *hidden) = (2, vec![8]);
    }
    options
}

fn runs() -> &'static Runs {
    static RUNS: OnceLock<Runs> = OnceLock::new();
    RUNS.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let train = |name: &str, data: &Dataset, options: TrainOptions| {
            let mut trainer = Trainer::new(gpu(), data, options.with_batch(16).with_steps(6)).expect("a run");
            trainer.train(6, 6, &mut ()).expect("steps");
            trainer.save(folder.path().join(name)).expect("a checkpoint");
            trainer
        };
        let (x, y) = rows(64, 1);
        let pairs = Dataset::new(x, 2, y, 2).expect("data");
        let (x, y) = rows(64, 4);
        let groups =
            Dataset::grouped(x, 2, y, 2, 4).expect("data").with_energies(data(3, 256)).expect("labels");
        let score = train("score", &pairs, TrainOptions::score(noised_network(2)));
        // Other rows, and so other units if they were fitted to them.
        let intermediate = IntermediateEnergyOptions::new(noised_network(1), 2.0)
            .with_group(4)
            .guiding(&score.averaged_score().expect("a score"));
        Runs {
            ranking: train("ranking", &pairs, TrainOptions::new(ranking_options()).with_task("pairs")),
            score,
            energy: train("energy", &groups, TrainOptions::new(intermediate)),
            folder,
        }
    })
}

fn contexts() -> Vec<f32> {
    data(4, 2 * CONTEXTS)
}

fn bits(values: &[f32]) -> Vec<u32> {
    assert!(!values.is_empty() && values.iter().all(|value| value.is_finite()), "{values:?}");
    values.iter().map(|value| value.to_bits()).collect()
}

fn options() -> PolicyOptions {
    PolicyOptions::new().with_agents(CONTEXTS).with_seed(SEED)
}

/// Two ticks of a policy and what its sampler gives twice.
#[track_caller]
fn expect_ticks(policy: &mut Policy, mut expected: impl FnMut() -> Vec<f32>) {
    for tick in 0..2 {
        assert_eq!(bits(&policy.act(&contexts()).expect("actions")), bits(&expected()), "tick {tick}");
    }
}

fn chains_of(policy: &Policy) -> ChainInference {
    match &policy.description().inference {
        Inference::Chains(chains) => chains.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_ranking_checkpoint_acts_as_the_trainers_own_chains() {
    let runs = runs();
    let mut policy = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    let ChainInference { chains, dynamics, .. } = chains_of(&policy);
    assert_eq!((chains, dynamics.steps()), (256, 40));
    let energy = runs.ranking.averaged_energy().expect("an energy");
    let proposal = runs.ranking.averaged_proposal().expect("a proposal");
    let sampling = ChainOptions::default()
        .with_contexts(CONTEXTS)
        .with_context_width(2)
        .with_chains(chains)
        .with_dynamics(dynamics)
        .with_returns(Return::Lowest)
        .with_seed(SEED);
    let mut sampler = ChainSampler::new(gpu(), &energy, &*proposal, &sampling).expect("a sampler");
    expect_ticks(&mut policy, || sampler.sample(&contexts()).expect("samples"));
}

#[test]
fn chains_of_every_kind_act_as_their_sampler() {
    let runs = runs();
    let path = runs.path("ranking");
    let bounds = Bounds::new(&[-2.0; 2], &[2.0; 2]).expect("a box");
    let sizes = StepSchedule::Constant { value: 1e-3 };
    let all: [Dynamics; 4] = [
        Langevin::default().with_steps(3).with_step_sizes(sizes).with_bounds(Some(bounds.clone())).into(),
        Mala::default()
            .with_steps(2)
            .with_warmup(2)
            .with_step_sizes(sizes)
            .with_bounds(Some(bounds.clone()))
            .into(),
        Hamiltonian::default()
            .with_steps(2)
            .with_leapfrogs(2)
            .with_warmup(0)
            .with_step_sizes(sizes)
            .with_bounds(Some(bounds.clone()))
            .into(),
        DerivativeFreeOptimizer::new(bounds.clone()).into(),
    ];
    for dynamics in all {
        let chains = 4;
        let inference = ChainInference::new(dynamics.clone()).with_chains(chains).with_choose(Choose::First);
        let options = options().with_inference(inference).with_bounds(bounds.clone());
        let mut policy = Policy::load_with(gpu(), &path, &options).expect("a policy");
        let energy = NetworkEnergy::load(gpu(), &path).expect("an energy");
        let proposal = Mixture::load(gpu(), &path).expect("a proposal");
        let returns = Return::All;
        let sampling = ChainOptions::default()
            .with_contexts(CONTEXTS)
            .with_context_width(2)
            .with_chains(chains)
            .with_dynamics(dynamics)
            .with_returns(returns)
            .with_seed(SEED);
        let mut sampler = ChainSampler::new(gpu(), &energy, &proposal, &sampling).expect("a sampler");
        expect_ticks(&mut policy, || {
            let all = sampler.sample(&contexts()).expect("samples");
            all.chunks_exact(2 * chains).flat_map(|of_agent| &of_agent[..2]).copied().collect()
        });
    }
}

fn sampling(policy: &Policy) -> SamplingOptions {
    let Inference::Diffusion(DiffusionInference { solver, samples, guidance_scale, .. }) =
        policy.description().inference
    else {
        panic!("{:?}", policy.description());
    };
    let bounds = policy.description().bounds.clone();
    SamplingOptions::default()
        .with_solver(solver)
        .with_contexts(CONTEXTS)
        .with_context_width(2)
        .with_samples(samples)
        .with_guidance_scale(guidance_scale)
        .with_bounds(bounds)
        .with_seed(SEED)
}

#[test]
fn a_score_checkpoint_acts_as_the_trainers_own_sampler() {
    let runs = runs();
    let mut policy = Policy::load_with(gpu(), runs.path("score"), &options()).expect("a policy");
    let score = runs.score.averaged_score().expect("a score");
    let mut sampler =
        DiffusionSampler::new(gpu(), &score, Guidance::None, &sampling(&policy)).expect("a sampler");
    expect_ticks(&mut policy, || sampler.sample(&contexts()).expect("samples"));
}

#[test]
fn two_runs_packed_together_act_as_the_trainers_own_guided_sampler() {
    let runs = runs();
    let mut policy =
        Policy::guided_with(gpu(), runs.path("score"), runs.path("energy"), &options()).expect("a policy");
    let score = runs.score.averaged_score().expect("a score");
    let energy = runs.energy.averaged_intermediate_energy().expect("an energy");
    let guidance = Guidance::Intermediate(&energy);
    let mut sampler = DiffusionSampler::new(gpu(), &score, guidance, &sampling(&policy)).expect("a sampler");
    expect_ticks(&mut policy, || sampler.sample(&contexts()).expect("samples"));

    let path = runs.path("guided");
    policy.save(&path).expect("a file");
    policy.seed(SEED).expect("a seed");
    policy.reset_all().expect("new agents");
    let mut loaded = Policy::load(gpu(), &path).expect("a policy");
    assert_eq!(loaded.description(), policy.description());
    assert!(loaded.describe().contains("a score with an intermediate energy"), "{}", loaded.describe());
    expect_ticks(&mut loaded, || policy.act(&contexts()).expect("actions"));
}

#[test]
fn the_best_of_guided_samples_is_that_of_lowest_energy() {
    let runs = runs();
    let solver = SolverOptions::default().with_evaluations(4);
    let inference = DiffusionInference::new(solver).with_samples(5);
    let load = |choose: Choose| {
        let options = options().with_inference(inference.clone().with_choose(choose));
        Policy::guided_with(gpu(), runs.path("score"), runs.path("energy"), &options).expect("a policy")
    };
    let (mut best, mut first) = (load(Choose::Lowest), load(Choose::First));
    let energy = IntermediateEnergyNetwork::load(gpu(), runs.path("energy")).expect("an energy");
    let level = solver.schedule.at(solver.last_time);
    let at_level = gibbs::diffusion::EnergyAtLevel::new(&energy, level);
    let context = contexts();
    let energies = |actions: &[f32]| {
        let points = gibbs::gpu::Points { context: &context, contexts: CONTEXTS, y: actions, dims: 2 };
        gibbs::energy::evaluate_energy(gpu(), &at_level, &points).expect("energies")
    };
    let lowest = energies(&best.act(&context).expect("actions"));
    let any = energies(&first.act(&context).expect("actions"));
    assert!(lowest.iter().zip(&any).all(|(lowest, any)| lowest <= any), "{lowest:?} {any:?}");
    assert_ne!(lowest, any);
}

#[test]
fn a_proposal_alone_acts_as_its_draws() {
    let runs = runs();
    let options = options().with_inference(Inference::Proposal);
    let mut policy = Policy::load_with(gpu(), runs.path("ranking"), &options).expect("a policy");
    let proposal = runs.ranking.averaged_proposal().expect("a proposal");
    let bounds = policy.description().bounds.clone().expect("the data's box");
    let run = RunState::new(gpu(), SEED).expect("a run");
    let mut step = 0;
    expect_ticks(&mut policy, || {
        let run = RunState::at(gpu(), run.seed(), step).expect("a step");
        step += 1;
        let drawn = draw(gpu(), &*proposal, &contexts(), CONTEXTS, 1, &run).expect("draws");
        let clipped = drawn
            .iter()
            .enumerate()
            .map(|(at, value)| value.clamp(bounds.low()[at % 2], bounds.high()[at % 2]));
        clipped.collect()
    });
    // By itself it is one too, and so is a box.
    let mixture = Mixture::load(gpu(), runs.path("ranking")).expect("a proposal");
    let mut alone = Policy::proposal(gpu(), mixture, &self::options()).expect("a policy");
    let run = RunState::new(gpu(), SEED).expect("a run");
    let drawn = draw(gpu(), &*proposal, &contexts(), CONTEXTS, 1, &run).expect("draws");
    assert_eq!(bits(&alone.act(&contexts()).expect("actions")), bits(&drawn));
    let mut in_box =
        Policy::proposal(gpu(), UniformBox::from(bounds.clone()), &self::options()).expect("a policy");
    assert_eq!((in_box.observation_width(), in_box.action_width()), (0, 2));
    let actions = in_box.act_for(2).expect("actions");
    assert!(
        actions.len() == 4 && actions.chunks_exact(2).all(|action| bounds.contains(action)),
        "{actions:?}"
    );
    assert_ne!(actions, in_box.act_for(2).expect("actions"), "each tick draws anew");
}

#[test]
fn every_kind_of_policy_comes_back_from_its_file_with_the_same_bits() {
    let runs = runs();
    let plain = options();
    let network = Model::new(gpu(), "policy", plain_network(), &RunState::new(gpu(), 1).expect("a run"));
    let mixture = Mixture::load(gpu(), runs.path("ranking")).expect("a proposal");
    let energy = NetworkEnergy::load(gpu(), runs.path("ranking")).expect("an energy");
    let score = ScoreNetwork::load(gpu(), runs.path("score")).expect("a score");
    let bounds = Bounds::new(&[-0.3, -0.2], &[0.1, 0.7]).expect("a box");
    let chains = ChainInference::suited(Scales::new(&[0.1, 0.3]).expect("scales"), Some(bounds.clone()))
        .with_chains(5);
    let diffusion = DiffusionInference::new(SolverOptions::default()).with_samples(2);
    let policies = [
        ("chains", Policy::load_with(gpu(), runs.path("ranking"), &plain)),
        ("mixture", Policy::proposal(gpu(), mixture.clone(), &plain)),
        ("box", Policy::proposal(gpu(), UniformBox::from(bounds.clone()), &plain)),
        ("chains in a box", Policy::energy(gpu(), energy.clone(), bounds.clone(), chains.clone(), &plain)),
        ("chains of a mixture", Policy::energy(gpu(), energy, ProposalPart::from(mixture), chains, &plain)),
        ("score", Policy::diffusion(gpu(), score, None, diffusion, &plain.clone().with_bounds(bounds))),
        (
            "network",
            Policy::network(
                gpu(),
                network.expect("a model"),
                &plain.clone().with_chunk(2, 2).with_history(2),
            ),
        ),
    ];
    let folder = tempfile::tempdir().expect("a folder");
    for (name, policy) in policies {
        let mut policy = policy.unwrap_or_else(|error| panic!("{name}: {error}"));
        let path = folder.path().join(name);
        policy.save(&path).expect("a file");
        let mut loaded = Policy::load(gpu(), &path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(loaded.description(), policy.description(), "{name}");
        let observations = data(9, 3 * policy.observation_width());
        for tick in 0..3 {
            let [first, second] = [&mut policy, &mut loaded].map(|policy| match policy.observation_width() {
                0 => policy.act_for(3).expect("actions"),
                _ => policy.act(&observations).expect("actions"),
            });
            assert_eq!(bits(&first), bits(&second), "{name}, tick {tick}");
        }
    }
    let found = Policy::load(gpu(), folder.path().join("network")).expect("a policy").describe();
    for words in
        ["policy: a network", "from parts", "history of 2", "2 predicted, 2 executed", "room for 3 agents"]
    {
        assert!(found.contains(words), "{words}: {found}");
    }
}

#[test]
fn raw_weights_are_taken_if_they_are_asked_for() {
    let runs = runs();
    let raw = options().with_weights(gibbs::store::Weights::Raw).with_inference(Inference::Proposal);
    let mut raw = Policy::load_with(gpu(), runs.path("ranking"), &raw).expect("a policy");
    let averaged = options().with_inference(Inference::Proposal);
    let mut averaged = Policy::load_with(gpu(), runs.path("ranking"), &averaged).expect("a policy");
    assert_ne!(raw.act(&contexts()).expect("actions"), averaged.act(&contexts()).expect("actions"));
    assert!(raw.describe().contains("as training left them"), "{}", raw.describe());
    assert!(averaged.describe().contains("averaged over training"), "{}", averaged.describe());
    let chains = Policy::load(gpu(), runs.path("ranking")).expect("a policy").describe();
    let sizes = chains.split("40 Langevin steps of sizes ").nth(1).unwrap_or_else(|| panic!("{chains}"));
    assert!(sizes.find(" from the proposal").is_some_and(|length| length < 24), "few digits: {chains}");
    assert!(
        averaged.describe().contains("ranking_nce run of `pairs`, step 6 of 6"),
        "{}",
        averaged.describe()
    );
}

fn plain_network() -> Network {
    Network::mlp(vec![Input::new("observation", 4)], &[6], Activation::Tanh, 6)
}

/// Observations of one number each that an affine network sees, and the actions of one number that
/// it predicts.
const HISTORY: usize = 3;
const PREDICTED: usize = 4;

/// `prediction[k] = sum_i (i + 1 + k) history[i] + 100 k`.
fn affine_model(gpu: &Gpu) -> Model {
    let network =
        Network::mlp(vec![Input::new("observation", HISTORY)], &[], Activation::Identity, PREDICTED);
    let layout = network.layout();
    let mut flat = vec![0.0f32; layout.len];
    for slice in &layout.slices {
        let values: Vec<f32> = match (slice.rows, slice.columns) {
            (HISTORY, PREDICTED) => (0..12).map(|at| (at / PREDICTED + 1 + at % PREDICTED) as f32).collect(),
            (PREDICTED, HISTORY) => (0..12).map(|at| (at % HISTORY + 1 + at / HISTORY) as f32).collect(),
            _ => (0..PREDICTED).map(|k| 100.0 * k as f32).collect(),
        };
        layout.insert(slice, &values, &mut flat);
    }
    let model = Model::zeros(gpu, "affine", network).expect("a model");
    model.set_parameters(gpu, &flat).expect("parameters");
    model
}

/// The semantics of a tick on the host.
struct Host {
    agents: Vec<Agent>,
    execute: u32,
    resting: f64,
}

impl Host {
    fn new(capacity: usize, execute: u32, resting: f64) -> Self {
        let agent = Agent {
            stage: 0,
            observed: false,
            position: 0,
            bad_observations: 0,
            bad_predictions: 0,
            lost_chains: 0,
            history: vec![0.0; HISTORY],
            chunk: vec![0.0; PREDICTED],
            last: vec![0.0],
        };
        Self { agents: vec![agent; capacity], execute, resting }
    }

    fn tick(&mut self, observations: &[f32], resets: &[u32]) -> Vec<f32> {
        let mut actions = Vec::new();
        for (at, agent) in self.agents.iter_mut().enumerate() {
            let Some(observation) = observations.get(at) else {
                agent.stage = 0;
                continue;
            };
            observe(agent, &[f64::from(*observation)], resets[at] != 0, &[self.resting], self.execute);
            let prediction: Vec<f64> = (0..PREDICTED)
                .map(|k| {
                    let terms = agent
                        .history
                        .iter()
                        .enumerate()
                        .map(|(i, value)| ((i + 1 + k) as f64 * value) as f32);
                    f64::from(terms.sum::<f32>() + 100.0 * k as f32)
                })
                .collect();
            let box_ = (&[-5000.0; PREDICTED][..], &[5000.0; PREDICTED][..]);
            actions.extend(
                choose_action(agent, Some((&prediction, 0)), box_, self.execute).iter().map(|v| *v as f32),
            );
        }
        actions
    }
}

const CAPACITY: usize = 4;
const RESTING: f32 = -7.0;

fn affine_options(execute: usize) -> PolicyOptions {
    PolicyOptions::new()
        .with_agents(CAPACITY)
        .with_history(HISTORY)
        .with_chunk(PREDICTED, execute)
        .with_resting(vec![RESTING])
        .with_bounds(Bounds::new(&[-5000.0; PREDICTED], &[5000.0; PREDICTED]).expect("a box"))
}

/// Whole numbers, so that sums are exact, and some that leave the box.
fn observations(tick: usize, agents: usize) -> Vec<f32> {
    (0..agents)
        .map(|agent| ((tick * 37 + agent * 11) % 61) as f32 - 20.0 + 900.0 * f32::from(tick % 9 == 5))
        .collect()
}

#[test]
fn chunks_histories_resets_and_comings_and_goings_follow_the_host_model() {
    // Its counters are nobody else's.
    let gpu = own_gpu();
    for execute in [1, 2, 3, 4] {
        let mut policy =
            Policy::network(&gpu, affine_model(&gpu), &affine_options(execute)).expect("a policy");
        let mut host = Host::new(CAPACITY, execute as u32, RESTING.into());
        let mut with_networks = 0;
        for tick in 0..40 {
            let agents = [4, 4, 4, 2, 2, 3, 4, 1][tick / 5];
            let mut resets = [0; CAPACITY];
            if tick % 6 == 4 {
                policy.reset(tick % CAPACITY).expect("an agent");
                resets[tick % CAPACITY] = 1;
            }
            if tick == 23 {
                policy.reset_all().expect("all agents");
                resets = [1; CAPACITY];
            }
            let observed = observations(tick, agents);
            let before = policy.gpu().counters();
            let actions = policy.act(&observed).expect("actions");
            let done = policy.gpu().counters() - before;
            assert_eq!(
                (done.pipelines, done.bind_groups, done.buffers),
                (0, 0, 1),
                "one to read by: {done:?}"
            );
            with_networks += u32::from(done.dispatches == policy.plan().dispatches() as u64);
            let expected = host.tick(&observed, &resets);
            assert_eq!(actions, expected, "execute {execute}, tick {tick}");
        }
        assert!(
            (with_networks == 40) == (execute == 1),
            "{with_networks} of 40 ticks with execute {execute}"
        );
        let stats = policy.stats().expect("stats");
        assert_eq!((stats.bad_observations, stats.bad_predictions), (0, 0));
    }
}

/// Tensors of a simulator.
struct Simulator {
    gpu: Gpu,
    observation: Tensor,
    action: Tensor,
    reset: Tensor,
}

impl Simulator {
    fn new(gpu: &Gpu, policy: &Policy) -> Self {
        let rows = policy.capacity();
        let tensor = |name: &str, dtype, shape: &[usize]| {
            Tensor::zeros(gpu, name, dtype, gibbs::gpu::Shape::new(shape)).expect("a tensor")
        };
        Self {
            gpu: gpu.clone(),
            observation: tensor("state", DType::F32, &[rows, policy.observation_width().max(1)]),
            action: tensor("torque", DType::F32, &[rows, policy.action_width()]),
            reset: tensor("done", DType::U32, &[rows]),
        }
    }

    fn submit(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder =
            self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder);
        self.gpu.queue().submit([encoder.finish()]);
    }

    fn actions(&self, agents: usize, width: usize) -> Vec<f32> {
        let mut all: Vec<f32> = self.gpu.read(&self.action).expect("actions");
        all.truncate(agents * width);
        all
    }
}

#[test]
fn values_that_are_not_finite_are_held_off_and_counted() {
    for execute in [1, 3] {
        let mut policy =
            Policy::network(gpu(), affine_model(gpu()), &affine_options(execute)).expect("a policy");
        let simulator = Simulator::new(gpu(), &policy);
        let mut host = Host::new(CAPACITY, execute as u32, RESTING.into());
        for tick in 0..30 {
            let mut observed = observations(tick, CAPACITY);
            match tick {
                // The first observation of agent 1 and several in a row of agent 2; a prediction of
                // agent 3 that overflows.
                0 | 1 => observed[1] = f32::NAN,
                6..=9 => observed[2] = f32::NEG_INFINITY,
                14..=16 => observed[3] = 3e38,
                _ => {}
            }
            simulator.observation.write(gpu(), &observed).expect("a write");
            simulator.submit(|encoder| {
                policy.encode(encoder, &simulator.observation, &simulator.action).expect("a tick");
            });
            let found = simulator.actions(CAPACITY, 1);
            assert!(found.iter().all(|value| value.is_finite()), "{found:?}");
            assert_eq!(found, host.tick(&observed, &[0; CAPACITY]), "execute {execute}, tick {tick}");
            if tick == 0 {
                assert_eq!(found[1], RESTING, "a new agent without an observation");
            }
        }
        let stats = policy.stats().expect("stats");
        let sum = |of: fn(&Agent) -> u32| host.agents.iter().map(|agent| u64::from(of(agent))).sum::<u64>();
        assert_eq!(stats.bad_observations, sum(|agent| agent.bad_observations));
        assert_eq!(stats.bad_observations, 6);
        assert_eq!(stats.bad_predictions, sum(|agent| agent.bad_predictions));
        assert!(stats.bad_predictions > 0);
        assert_eq!(stats.agents[2].bad_observations, 4);
    }
}

/// Some starts overflow in the network's first layer.
#[test]
fn chains_that_are_lost_on_the_way_to_an_action_are_counted() {
    let (chains, most) = (64, [1.5e38; 2]);
    let inputs = vec![Input::new(ACTION, 2), Input::new(CONTEXT, 2)];
    let model =
        Model::zeros(gpu(), "energy", Network::mlp(inputs, &[16], Activation::Silu, 1)).expect("a model");
    let weights: Vec<f32> = data(9, model.parameters().shape().len()).iter().map(|w| 2.0 * w).collect();
    model.parameters().write(gpu(), &weights).expect("weights");
    let dynamics = Langevin::default().with_steps(1);
    let proposal = UniformBox::new(&most.map(|v| -v), &most).expect("a box");
    let energy = || NetworkEnergy::new(model.clone()).expect("an energy");
    let inference = ChainInference::new(dynamics.clone()).with_chains(chains);
    let mut policy =
        Policy::energy(gpu(), energy(), proposal.clone(), inference, &options()).expect("a policy");
    let sampling = ChainOptions::default()
        .with_contexts(CONTEXTS)
        .with_context_width(2)
        .with_chains(chains)
        .with_dynamics(dynamics)
        .with_seed(SEED);
    let mut sampler = ChainSampler::new(gpu(), &energy(), &proposal, &sampling).expect("a sampler");
    for _ in 0..3 {
        policy.act(&contexts()).expect("actions");
        sampler.sample(&contexts()).expect("samples");
    }
    let (stats, expected) = (policy.stats().expect("stats"), sampler.stats());
    assert_eq!(stats.lost_chains, expected.lost_chains);
    assert!((1..expected.chains).contains(&stats.lost_chains), "{expected:?}");
    assert_eq!((expected.runs, expected.chains, expected.moves), (3, 3 * 64 * CONTEXTS as u64, 0));
    assert_eq!((stats.bad_predictions, stats.bad_observations), (0, 0));
}

#[test]
fn a_reset_mask_on_the_device_makes_agents_new() {
    let mut policy = Policy::network(gpu(), affine_model(gpu()), &affine_options(3)).expect("a policy");
    let simulator = Simulator::new(gpu(), &policy);
    let mut host = Host::new(CAPACITY, 3, RESTING.into());
    for tick in 0..20 {
        let observed = observations(tick, CAPACITY);
        let resets: Vec<u32> = (0..CAPACITY).map(|agent| u32::from((tick + 3 * agent) % 7 == 5)).collect();
        simulator.observation.write(gpu(), &observed).expect("a write");
        simulator.reset.write(gpu(), &resets).expect("a write");
        simulator.submit(|encoder| {
            let tensors = PolicyTensors {
                observation: Some(&simulator.observation),
                action: &simulator.action,
                reset: Some(&simulator.reset),
            };
            policy.encode_with(encoder, &tensors).expect("a tick");
        });
        assert_eq!(simulator.actions(CAPACITY, 1), host.tick(&observed, &resets), "tick {tick}");
    }
    // Whoever goes on without a mask gets the same until the host knows again who is due.
    for tick in 20..40 {
        let observed = observations(tick, CAPACITY);
        let mut resets = [0; CAPACITY];
        if tick == 30 {
            policy.reset_all().expect("all agents");
            resets = [1; CAPACITY];
        }
        assert_eq!(policy.act(&observed).expect("actions"), host.tick(&observed, &resets), "tick {tick}");
    }
}

#[test]
fn a_tick_in_an_encoder_needs_nothing_of_the_host() {
    let runs = runs();
    let gpu = own_gpu();
    let mut chains = Policy::load_with(&gpu, runs.path("ranking"), &options()).expect("a policy");
    let mut guided =
        Policy::guided_with(&gpu, runs.path("score"), runs.path("energy"), &options()).expect("a policy");
    let both = [Simulator::new(&gpu, &chains), Simulator::new(&gpu, &guided)];
    for simulator in &both {
        simulator.observation.write(&gpu, &contexts()).expect("a write");
    }
    let mut expected = [Vec::new(), Vec::new()];
    for _ in 0..3 {
        expected[0].push(chains.act(&contexts()).expect("actions"));
        expected[1].push(guided.act(&contexts()).expect("actions"));
    }
    for policy in [&mut chains, &mut guided] {
        policy.seed(SEED).expect("a seed");
        policy.reset_all().expect("new agents");
    }
    for tick in 0..3 {
        let before = gpu.counters();
        // Two policies in one encoder, and two ticks of one would be as well.
        both[0].submit(|encoder| {
            chains.encode(encoder, &both[0].observation, &both[0].action).expect("a tick");
            guided.encode(encoder, &both[1].observation, &both[1].action).expect("a tick");
        });
        let done = gpu.counters() - before;
        let host = (done.host_writes, done.blocking_readbacks, done.async_readbacks, done.submits);
        assert_eq!(host, (0, 0, 0, 0), "{done:?}");
        assert_eq!(done.dispatches, (chains.plan().dispatches() + guided.plan().dispatches()) as u64);
        if tick > 0 {
            assert_eq!((done.bind_groups, done.buffers, done.pipelines), (0, 0, 0), "{done:?}");
        }
        for (simulator, expected) in both.iter().zip(&expected) {
            assert_eq!(bits(&simulator.actions(CONTEXTS, 2)), bits(&expected[tick]), "tick {tick}");
        }
    }
}

#[test]
fn a_policy_records_its_tick_in_a_recording_of_anybodys() {
    let runs = runs();
    let mut policy = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    let expected: Vec<Vec<f32>> = (0..2).map(|_| policy.act(&contexts()).expect("actions")).collect();
    policy.seed(SEED).expect("a seed");
    policy.reset_all().expect("new agents");
    let mut recording = Recording::tuned("simulator", gpu().target());
    let state = recording.slot("state", DType::F32, [CONTEXTS, 2]).expect("a slot");
    let action = policy.record(&mut recording, Some(state)).expect("a tick");
    RunState::record_advance(&mut recording).expect("a step");
    recording.expose(action, "torque").expect("an output");
    let simulator = Simulator::new(gpu(), &policy);
    simulator.observation.write(gpu(), &contexts()).expect("a write");
    let own = Bindings::new().with("state", &simulator.observation).with("torque", &simulator.action);
    let plan = recording.compile(gpu(), &policy.bindings().merge(&own)).expect("a plan");
    for expected in &expected {
        plan.run(1).expect("a run");
        assert_eq!(bits(&simulator.actions(CONTEXTS, 2)), bits(expected));
    }
    let mut again = Recording::tuned("simulator", gpu().target());
    let error = policy.record(&mut again, None).expect_err("no observation").to_string();
    assert!(error.contains("the observation is missing"), "{error}");
}

#[test]
fn a_policy_acts_on_an_adopted_device() {
    let runs = runs();
    let name = gpu().info().name.clone();
    let adapters = Gpu::adapters(Some(wgpu::Backends::all().difference(wgpu::Backends::GL)));
    let adapter = adapters.iter().find(|adapter| adapter.get_info().name == name).expect("found before");
    let (device, queue) =
        pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor::default())).expect("a device");
    let adopted = Gpu::adopt(&device, &queue, AdoptOptions::default());
    let mut policy = Policy::load_with(&adopted, runs.path("ranking"), &options()).expect("a policy");
    let simulator = Simulator::new(&adopted, &policy);
    simulator.observation.write(&adopted, &contexts()).expect("a write");
    simulator
        .submit(|encoder| policy.encode(encoder, &simulator.observation, &simulator.action).expect("a tick"));
    let encoded = simulator.actions(CONTEXTS, 2);
    policy.seed(SEED).expect("a seed");
    policy.reset_all().expect("new agents");
    assert_eq!(bits(&policy.act(&contexts()).expect("actions")), bits(&encoded));
}

#[track_caller]
fn refused<T>(result: gibbs::Result<T>, words: &[&str]) {
    let text = result.err().expect("an error").to_string();
    for word in words {
        assert!(text.contains(word), "{text:?} lacks {word:?}");
    }
}

fn load(path: &Path) -> gibbs::Result<Policy> {
    Policy::load(gpu(), path)
}

#[test]
fn files_that_cannot_act_are_refused_in_one_sentence() {
    let runs = runs();
    let missing = load(&runs.path("missing"));
    assert!(matches!(missing, Err(Error::Io { .. })));
    refused(missing, &["open", "missing"]);

    for name in ["ranking", "score"] {
        let whole = std::fs::read(runs.path(name)).expect("a file");
        for part in [whole.len() / 2, 100, 4] {
            let half = runs.path("half");
            std::fs::write(&half, &whole[..part]).expect("a file");
            let result = load(&half);
            assert!(matches!(result, Err(Error::Checkpoint { .. })), "{name}, {part} bytes");
            refused(result, &["half"]);
        }
    }

    let data = runs.path("data.safetensors");
    let bytes = safetensors::serialize(
        [(
            "x",
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &[0; 4])
                .expect("a tensor"),
        )],
        None,
    );
    std::fs::write(&data, bytes.expect("bytes")).expect("a file");
    refused(load(&data), &["has no gibbs description"]);
    refused(load(&runs.path("energy")), &["holds an intermediate energy alone", "`Policy::guided"]);
    let swapped = Policy::guided(gpu(), runs.path("energy"), runs.path("score"));
    refused(swapped, &["is of the kind `intermediate_energy`", "`score`"]);
    refused(NetworkEnergy::load(gpu(), runs.path("score")), &["is of the kind `score`"]);
}

#[test]
fn observations_that_do_not_fit_are_refused_in_one_sentence() {
    let runs = runs();
    let mut policy = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    refused(policy.act(&[0.0; 5]), &["`observations` has shape 5 numbers, expected [agents, 2]"]);
    refused(policy.act(&[]), &["the observations are none; give a row of 2 numbers for each agent"]);
    refused(policy.act(&[0.0; 8]), &["the agents are 4, this policy has room for 3", "with_agents(4)"]);
    refused(
        policy.act(&[0.0, 1.0, 2.0, f32::NAN]),
        &["the observation of agent 1 is NaN at index 1; it must be finite"],
    );
    refused(policy.act_for(1), &["the observations are missing: give 2 numbers for each agent"]);
    refused(policy.set_agents(0), &["the agents are none"]);
    refused(policy.reset(3), &["the agent is 3, there is room for 3"]);
    // What was refused left nothing behind.
    let mut other = Policy::load_with(gpu(), runs.path("ranking"), &options()).expect("a policy");
    assert_eq!(policy.act(&contexts()).expect("actions"), other.act(&contexts()).expect("actions"));

    let wide = Tensor::zeros(gpu(), "wide", DType::F32, [CONTEXTS, 3]).expect("a tensor");
    let simulator = Simulator::new(gpu(), &policy);
    let mut encoder = gpu().device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    refused(
        policy.encode(&mut encoder, &wide, &simulator.action),
        &["`observation` has shape [3, 3], expected [3, 2]"],
    );
    refused(policy.encode(&mut encoder, &simulator.observation, &wide), &["`action` has shape [3, 3]"]);
    let nothing = PolicyTensors { observation: None, action: &simulator.action, reset: None };
    refused(policy.encode_with(&mut encoder, &nothing), &["the observation is missing: give [3, 2]"]);

    let bounds = Bounds::new(&[0.0], &[1.0]).expect("a box");
    let mut unconditional = Policy::proposal(gpu(), bounds, &PolicyOptions::new()).expect("a policy");
    refused(unconditional.act(&[0.5]), &["say how many agents act: `act_for(agents)`"]);
    refused(unconditional.act_for(0), &["the agents are none"]);
    refused(unconditional.act_for(2), &["room for 1"]);
}

#[test]
fn options_that_do_not_fit_are_refused_in_one_sentence() {
    let runs = runs();
    let path = runs.path("ranking");
    let with = |options: PolicyOptions| Policy::load_with(gpu(), &path, &options);
    let plain = PolicyOptions::new;
    refused(with(plain().with_agents(0)), &["the agents are 0"]);
    refused(with(plain().with_agents(usize::MAX)), &["the agents are"]);
    refused(with(plain().with_history(3)), &["the history is 3 observations", "2 numbers of a context"]);
    refused(with(plain().with_chunk(3, 1)), &["the actions of a chunk are 3", "2 numbers of a prediction"]);
    refused(with(plain().with_chunk(2, 3)), &["the executed actions of a chunk are 3 of 2"]);
    refused(
        with(plain().with_resting(vec![1.0])),
        &["the resting action is [1.0]; it needs 2 finite numbers"],
    );
    refused(
        with(plain().with_bounds(Bounds::new(&[0.0], &[1.0]).expect("a box"))),
        &["the box has 1 dimensions"],
    );
    refused(
        with(plain().with_inference(Inference::Network)),
        &["the output of a network", "an energy with its proposal"],
    );
    let many = ChainInference::suited(Scales::new(&[1.0, 1.0]).expect("scales"), None).with_chains(0);
    refused(with(plain().with_inference(many)), &["the chains are none"]);
    let cosine = SolverOptions::default().with_schedule(gibbs::diffusion::NoiseSchedule::cosine());
    let other = PolicyOptions::new().with_inference(DiffusionInference::new(cosine));
    refused(Policy::load_with(gpu(), runs.path("score"), &other), &["the score was trained on Linear"]);
    let best = DiffusionInference::new(SolverOptions::default()).with_choose(Choose::Lowest);
    let best = PolicyOptions::new().with_inference(best);
    refused(Policy::load_with(gpu(), runs.path("score"), &best), &["needs an intermediate energy"]);
}
