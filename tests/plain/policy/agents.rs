//! What every agent is promised: histories, chunks, resets, comings and goings, and ticks in an
//! encoder or a recording of anybody's.

use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{AdoptOptions, Bindings, DType, Gpu, Recording, RunState, Tensor};
use gibbs::math::Bounds;
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin};
use gibbs::nn::{ACTION, Activation, CONTEXT, Input, Model, Network};
use gibbs::policy::{ChainInference, Policy, PolicyOptions, PolicyTensors};
use gibbs::proposal::UniformBox;
use gibbs::wgpu;
use gibbs_reference::policy::Agent;
use gibbs_reference::policy::choose_action::choose_action;
use gibbs_reference::policy::observe::observe;

use super::{CONTEXTS, SEED, bits, contexts, gpu, options, runs};
use crate::common::data;
use crate::common::points::own_gpu;

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
pub struct Simulator {
    gpu: Gpu,
    pub observation: Tensor,
    pub action: Tensor,
    reset: Tensor,
}

impl Simulator {
    pub fn new(gpu: &Gpu, policy: &Policy) -> Self {
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
