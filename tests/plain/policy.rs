//! Policies: files of training act as the samplers of their trainers.

use std::path::PathBuf;
use std::sync::OnceLock;

use crate::common::{data, lavapipe};
use gibbs::diffusion::{
    DiffusionSampler, Guidance, IntermediateEnergyNetwork, SamplingOptions, ScoreNetwork, SolverOptions,
};
use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{Gpu, RunState};
use gibbs::math::{Bounds, Scales};
use gibbs::mcmc::{
    ChainOptions, ChainSampler, DerivativeFreeOptimizer, Dynamics, Hamiltonian, Langevin, Mala, Return,
    StepSchedule,
};
use gibbs::nn::{ACTION, CONTEXT, TIME};
use gibbs::nn::{Activation, Input, Model, Network};
use gibbs::policy::{
    ChainInference, Choose, DiffusionInference, Inference, Policy, PolicyOptions, ProposalPart,
};
use gibbs::proposal::{Mixture, UniformBox, draw};
use gibbs::train::{
    Dataset, IntermediateEnergyOptions, ProposalOptions, RankingNceOptions, TrainOptions, Trainer,
};

mod agents;
mod refused;

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
