//! gibbs on a device that a host program owns, opened with default limits and no features.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::common::{self, data, lavapipe, wide};
use gibbs::energy::NetworkEnergy;
use gibbs::gpu::{AdoptOptions, Bindings, DType, Gpu, KernelSource, Plan, Recording, RunState, Tensor};
use gibbs::math::Bounds;
use gibbs::mcmc::{ChainOptions, ChainSampler, Langevin, Return, StepSchedule};
use gibbs::nn::{Activation, AdamOptions, Input, Keep, Model, Network};
use gibbs::train::{Dataset, ProposalOptions, RankingNceOptions, StepRecord, TrainOptions, Trainer};
use gibbs::{Error, wgpu};
use gibbs_reference::compose::Mlp;

/// What a host program has, with the handlers that only it may install.
struct Host {
    device: wgpu::Device,
    queue: wgpu::Queue,
    uncaptured: Arc<Mutex<Vec<String>>>,
    lost: Arc<AtomicUsize>,
}

fn host() -> Host {
    let name = lavapipe().gpu.info().name.clone();
    let adapters = Gpu::adapters(Some(wgpu::Backends::all().difference(wgpu::Backends::GL)));
    let adapter = adapters.iter().find(|adapter| adapter.get_info().name == name).expect("found before");
    let descriptor = wgpu::DeviceDescriptor {
        label: Some("host"),
        required_features: wgpu::Features::empty(),
        required_limits: wgpu::Limits::default(),
        ..Default::default()
    };
    let (device, queue) =
        pollster::block_on(adapter.request_device(&descriptor)).expect("default limits are granted");
    let uncaptured = Arc::new(Mutex::new(Vec::new()));
    let errors = uncaptured.clone();
    device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
        errors.lock().unwrap_or_else(PoisonError::into_inner).push(error.to_string());
    }));
    let lost = Arc::new(AtomicUsize::new(0));
    let count = lost.clone();
    device.set_device_lost_callback(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
    });
    Host { device, queue, uncaptured, lost }
}

impl Host {
    fn adopt(&self) -> Gpu {
        Gpu::adopt(&self.device, &self.queue, AdoptOptions::default().with_poison(true))
    }

    /// A buffer as a simulator has it, with `before` unrelated bytes in front.
    fn buffer(&self, before: u64, values: &[f32]) -> wgpu::Buffer {
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("state of the host"),
            size: before + 4 * values.len() as u64,
            usage: wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        self.queue.write_buffer(&buffer, before, bytemuck::cast_slice(values));
        buffer
    }

    fn submit(&self, encode: impl FnOnce(&mut wgpu::CommandEncoder)) {
        let mut encoder = self.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        encode(&mut encoder);
        self.queue.submit([encoder.finish()]);
    }

    /// Fails if an error of ours reached the host.
    fn expect_quiet(&self) {
        let errors = self.uncaptured.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(errors.is_empty(), "{errors:?}");
        assert_eq!(self.lost.load(Ordering::SeqCst), 0);
    }
}

const ROWS: usize = 5;
const INPUTS: usize = 3;

/// A small policy, its plan with open slots `x` and `y`, and its f64 twin.
fn policy(gpu: &Gpu) -> (Plan, Mlp) {
    let network = Network::mlp(vec![Input::new("x", INPUTS)], &[6, 7], Activation::Tanh, 2);
    let layout = network.layout();
    let mut flat = vec![0.0f32; layout.len];
    let mut dense = Vec::new();
    for (at, slice) in layout.slices.iter().enumerate() {
        let values = data(at as u32 + 1, slice.rows * slice.columns);
        layout.insert(slice, &values, &mut flat);
        dense.push(values);
    }
    let model = Model::zeros(gpu, "policy", network.clone()).expect("a model");
    model.parameters().write(gpu, &flat).expect("parameters");
    let mut recording = Recording::new("policy");
    let parameters = model.value(&mut recording).expect("a slot");
    let x = recording.slot("x", DType::F32, [ROWS, INPUTS]).expect("a slot");
    let forward =
        network.record_forward(&mut recording, parameters, &[("x", x)], Keep::Output).expect("a recording");
    recording.expose(forward.packed_output, "y").expect("an output");
    let plan = recording.compile(gpu, &model.bindings()).expect("a plan");
    (plan, reference(&dense))
}

/// From weights and biases of the layers in turn.
fn reference(dense: &[Vec<f32>]) -> Mlp {
    use gibbs_reference::compose::Layer;
    use gibbs_reference::nn::Activation;
    let mut inputs = INPUTS;
    let layers = dense.chunks(2).enumerate().map(|(at, pair)| {
        let [weights, bias] = pair else { panic!("a weight and a bias per layer") };
        let outputs = bias.len();
        let activation = if 2 * at + 2 == dense.len() { Activation::Identity } else { Activation::Tanh };
        let layer = Layer { inputs, outputs, weights: wide(weights), bias: wide(bias), activation };
        inputs = outputs;
        layer
    });
    Mlp { layers: layers.collect() }
}

/// A set of the host's buffers: the state in front of the policy, the actions behind it.
struct Set {
    bindings: Bindings,
    y: Tensor,
    expected: Vec<f64>,
}

fn set(host: &Host, twin: &Mlp, seed: u32) -> Set {
    let values = data(seed, ROWS * INPUTS);
    let x = Tensor::from_buffer("x", host.buffer(512, &values), 512, DType::F32, [ROWS, INPUTS]).expect("x");
    let poison = vec![f32::from_bits(common::POISON); ROWS * 2];
    let y = Tensor::from_buffer("y", host.buffer(256, &poison), 256, DType::F32, [ROWS, 2]).expect("y");
    Set {
        bindings: Bindings::new().with("x", &x).with("y", &y),
        y,
        expected: twin.forward(&wide(&values)).output().to_vec(),
    }
}

#[track_caller]
fn expect_actions(gpu: &Gpu, set: &Set) {
    let found = gpu.read::<f32>(&set.y).expect("a readback");
    for (found, expected) in found.iter().zip(&set.expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-5 * (1.0 + expected.abs()), "{found} {expected}");
    }
}

#[test]
fn a_policy_runs_in_the_hosts_encoder_on_the_hosts_buffers() {
    let host = host();
    let gpu = host.adopt();
    assert_eq!(gpu.capabilities().features, wgpu::Features::empty());
    assert_eq!(gpu.capabilities().limits.max_storage_buffers_per_shader_stage, 8);
    let (plan, twin) = policy(&gpu);
    let set = set(&host, &twin, 90);
    let before = gpu.counters();
    host.submit(|encoder| plan.encode(encoder, &set.bindings).expect("an encoding"));
    let done = gpu.counters() - before;
    assert_eq!((done.submits, done.host_writes, done.blocking_readbacks), (0, 0, 0), "the host submits");
    assert_eq!(done.dispatches, plan.dispatches() as u64);
    expect_actions(&gpu, &set);
    // What lies in front of the tensors is the host's.
    let front = Tensor::from_buffer("front", set.y.buffer().clone(), 0, DType::F32, [64]).expect("a tensor");
    assert_eq!(gpu.read::<f32>(&front).expect("a readback"), [0.0; 64]);
    host.expect_quiet();
}

#[test]
fn two_sets_of_buffers_alternate_without_new_bind_groups() {
    let host = host();
    let gpu = host.adopt();
    let (plan, twin) = policy(&gpu);
    let sets = [set(&host, &twin, 91), set(&host, &twin, 92)];
    let start = gpu.counters();
    for set in &sets {
        host.submit(|encoder| plan.encode(encoder, &set.bindings).expect("an encoding"));
    }
    let first = gpu.counters() - start;
    assert!(first.bind_groups > 0 && first.bind_groups.is_multiple_of(2), "{first:?}");
    assert!(first.bind_groups < 2 * plan.dispatches() as u64, "only steps that touch a slot: {first:?}");
    let steady = gpu.counters();
    for round in 0..6 {
        host.submit(|encoder| plan.encode(encoder, &sets[round % 2].bindings).expect("an encoding"));
    }
    let done = gpu.counters() - steady;
    assert_eq!(done.dispatches, 6 * plan.dispatches() as u64);
    assert_eq!((done.bind_groups, done.buffers, done.pipelines, done.host_writes), (0, 0, 0, 0), "{done:?}");
    for set in &sets {
        expect_actions(&gpu, set);
    }
    assert_ne!(sets[0].expected, sets[1].expected);
    host.expect_quiet();
}

/// Weights in a buffer of the host's that was made without the usage `UNIFORM`: kernels that read
/// weights as uniforms, taken where subgroups are 8 wide, must do without.
#[test]
fn weights_in_a_plain_storage_buffer_of_the_host_work() {
    let gpu = &lavapipe().gpu;
    let network = Network::mlp(vec![Input::new("x", 16)], &[64, 64], Activation::Silu, 1);
    let run = RunState::new(gpu, 1).expect("a run");
    let own = Model::new(gpu, "policy", network, &run).expect("a model");
    let weights: Vec<f32> = gpu.read(own.parameters()).expect("a readback");
    let foreign = |usage| {
        let buffer = gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("weights of the host"),
            size: 4 * weights.len() as u64,
            usage: usage | wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        gpu.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(&weights));
        Tensor::from_buffer("weights", buffer, 0, DType::F32, [weights.len()]).expect("a tensor")
    };
    let rows = 256;
    let forward = |model: &Model| {
        let mut recording = Recording::tuned("policy", gpu.target());
        let parameters = model.value(&mut recording).expect("a slot");
        let x = recording.constant("x", [rows, 16], &data(3, rows * 16)).expect("a constant");
        let network = model.network();
        let forward = network
            .record_forward(&mut recording, parameters, &[("x", x)], Keep::Output)
            .expect("a recording");
        recording.expose(forward.packed_output, "y").expect("an output");
        let y = Tensor::zeros(gpu, "y", DType::F32, [rows, 1]).expect("a tensor");
        let plan = recording.compile(gpu, &model.bindings().with("y", &y)).expect("a plan");
        plan.run(1).expect("a run");
        let values = gpu.read::<f32>(&y).expect("a readback");
        (plan, y, values)
    };
    let (plan, y, expected) = forward(&own);
    let plain = own.with_parameters(&foreign(wgpu::BufferUsages::empty())).expect("a model");
    let (_, _, found) = forward(&plain);
    assert_eq!(found, expected, "the same numbers from another kind of binding");

    // A plan that binds them as uniforms refuses such a buffer by name; one with the usage is
    // welcome.
    let subgroups = plan.variants().values().flatten().any(|name| name.contains("subgroup"));
    let encode = |weights: &Tensor| {
        let mut encoder = gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        plan.encode(&mut encoder, &Bindings::new().with("policy/parameters", weights).with("y", &y))
    };
    encode(&foreign(wgpu::BufferUsages::UNIFORM)).expect("a buffer with the usage");
    let refused = encode(&foreign(wgpu::BufferUsages::empty()));
    if subgroups {
        let error = refused.expect_err("no usage").to_string();
        assert!(error.contains("add UNIFORM"), "{error}");
    } else {
        refused.expect("storage is enough without subgroups");
    }
}

/// `result[i] = gain * (a[i] - b[i])`
const DIFFERENCE: &str = "
struct Knobs {
    gain: f32,
}
@group(0) @binding(0) var<uniform> knobs: Knobs;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> result: array<f32>;
@compute @workgroup_size(1)
fn difference(@builtin(workgroup_id) id: vec3<u32>) {
    result[id.x] = knobs.gain * (a[id.x] - b[id.x]);
}
";

#[test]
fn knobs_change_results_between_submits_without_rebuilding() {
    let host = host();
    let gpu = host.adopt();
    let mut recording = Recording::new("difference");
    let slot = |recording: &mut Recording, name| recording.slot(name, DType::F32, [2]).expect("a slot");
    let (a, b, result) =
        (slot(&mut recording, "a"), slot(&mut recording, "b"), slot(&mut recording, "result"));
    let gain = recording.knob("gain", 1.0);
    recording
        .dispatch(&KernelSource::new("host/difference.wgsl", DIFFERENCE), "difference")
        .bind("a", a)
        .bind("b", b)
        .bind("result", result)
        .knob("gain", gain)
        .workgroups([2, 1, 1])
        .finish()
        .expect("a dispatch");
    let tensor = |values: &[f32]| Tensor::from_slice(&gpu, "numbers", [2], values).expect("memory");
    let (a, b, result) = (tensor(&[5.0, 7.0]), tensor(&[1.0, 2.0]), tensor(&[0.0; 2]));
    let bindings = Bindings::new().with("a", &a).with("b", &b).with("result", &result);
    let plan = recording.compile(&gpu, &bindings).expect("a plan");
    let before = gpu.counters();
    for (factor, expected) in [(1.0, [4.0, 5.0]), (-2.0, [-8.0, -10.0]), (0.5, [2.0, 2.5])] {
        plan.set_knob(gain, factor).expect("a finite number");
        host.submit(|encoder| plan.encode(encoder, &Bindings::new()).expect("an encoding"));
        assert_eq!(gpu.read::<f32>(&result).expect("a readback"), expected);
    }
    let done = gpu.counters() - before;
    assert_eq!((done.pipelines, done.bind_groups, done.host_writes), (0, 0, 3), "{done:?}");
    // One tensor for either slot in turn: the groups of the two must not be mixed up.
    plan.set_knob(gain, 1.0).expect("a finite number");
    let other = tensor(&[100.0, 200.0]);
    for (slot, expected) in [("a", [99.0, 198.0]), ("b", [-95.0, -193.0]), ("a", [99.0, 198.0])] {
        let replaced = Bindings::new().with(slot, &other);
        host.submit(|encoder| plan.encode(encoder, &replaced).expect("an encoding"));
        assert_eq!(gpu.read::<f32>(&result).expect("a readback"), expected, "`{slot}` replaced");
    }
    host.expect_quiet();
}

#[test]
fn training_and_sampling_work_on_an_adopted_device() {
    let host = host();
    let gpu = host.adopt();
    let actions: Vec<f32> = data(3, 512).into_iter().map(|v| 0.3 * v).collect();
    let pairs = Dataset::new(data(4, 256), 1, actions, 2).expect("data");
    let mut options = RankingNceOptions::default().with_negatives(7);
    options.energy.hidden = vec![16];
    options.proposal =
        ProposalOptions::Mixture { components: 2, hidden: vec![8], optimizer: AdamOptions::default() };
    let options = TrainOptions::new(options).with_batch(16).with_steps(40);
    let mut trainer = Trainer::new(&gpu, &pairs, options).expect("a trainer");
    let mut losses = Vec::new();
    let mut observer = |records: &[StepRecord]| {
        losses.extend(records.iter().filter_map(|record| record.value("energy_loss")));
    };
    trainer.train(40, 20, &mut observer).expect("a run");
    assert_eq!(losses.len(), 40);
    assert!(losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    let langevin = Langevin::default()
        .with_steps(3)
        .with_step_sizes(StepSchedule::Constant { value: 1e-3 })
        .with_bounds(Some(Bounds::new(&[-1.0; 2], &[1.0; 2]).expect("a box")))
        .with_quiet_last(true);
    let energy = trainer.averaged_energy().expect("an energy");
    let proposal = trainer.raw_proposal().expect("a proposal");
    let (contexts, context_width, chains) = (3, 1, 9);
    let (dynamics, returns) = (langevin, Return::All);
    let options = ChainOptions::default()
        .with_contexts(contexts)
        .with_context_width(context_width)
        .with_chains(chains)
        .with_dynamics(dynamics)
        .with_returns(returns)
        .with_seed(5);
    let mut sampler = ChainSampler::new(&gpu, &energy, proposal.as_ref(), &options).expect("a sampler");
    let drawn = sampler.sample(&[0.1, 0.2, 0.3]).expect("samples");
    assert_eq!(drawn.len(), 3 * 9 * 2);
    assert!(drawn.iter().all(|y| (-1.0..=1.0).contains(y)), "{drawn:?}");
    assert_ne!(drawn, sampler.sample(&[0.1, 0.2, 0.3]).expect("samples"), "each run draws anew");
    host.expect_quiet();
}

#[test]
fn errors_of_ours_stay_ours_and_errors_of_the_host_stay_the_hosts() {
    let host = host();
    let gpu = host.adopt();
    // Not readable from the host: the copy fails in wgpu's validation, inside our scope.
    let closed = host.device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size: 256,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    let tensor = Tensor::from_buffer("closed", closed, 0, DType::F32, [64]).expect("a tensor");
    assert!(matches!(gpu.read::<f32>(&tensor), Err(Error::Device { .. })));
    host.expect_quiet();
    // A mistake of the host, outside every scope, reaches the host's own handler and nobody else.
    let _ = host.device.create_buffer(&wgpu::BufferDescriptor {
        label: Some("mistake"),
        size: 1 << 40,
        usage: wgpu::BufferUsages::STORAGE,
        mapped_at_creation: false,
    });
    {
        let errors = host.uncaptured.lock().unwrap_or_else(PoisonError::into_inner);
        assert_eq!(errors.len(), 1, "{errors:?}");
        assert!(errors[0].contains("mistake"), "{errors:?}");
    }
    gpu.wait().expect("gibbs works on");
    let (plan, twin) = policy(&gpu);
    let set = set(&host, &twin, 93);
    host.submit(|encoder| plan.encode(encoder, &set.bindings).expect("an encoding"));
    expect_actions(&gpu, &set);
}

#[track_caller]
fn expect_lost<T>(result: gibbs::Result<T>, first_cause: &str) {
    match result.err().expect("the device is lost") {
        Error::DeviceLost { cause, adapter, .. } => {
            assert!(cause.contains(first_cause), "{cause}");
            assert!(!adapter.is_empty());
        }
        other => panic!("expected a lost device, got {other}"),
    }
}

#[test]
fn a_loss_that_the_host_forwards_is_an_error_with_the_first_cause() {
    let host = host();
    let gpu = host.adopt();
    let (plan, twin) = policy(&gpu);
    let set = set(&host, &twin, 94);
    host.submit(|encoder| plan.encode(encoder, &set.bindings).expect("an encoding"));
    gpu.faults().report_lost("the driver was reset");
    gpu.faults().report_lost("a later message");
    let first = "the driver was reset";
    expect_lost(gpu.wait(), first);
    expect_lost(gpu.read::<f32>(&set.y), first);
    expect_lost(RunState::new(&gpu, 0), first);
    let mut encoder = host.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    expect_lost(plan.encode(&mut encoder, &set.bindings), first);
    let text = gpu.wait().expect_err("lost").to_string();
    assert!(text.contains("policy"), "the last plan is named: {text}");
}

#[test]
fn a_loss_that_nobody_forwards_shows_at_the_next_readback() {
    let host = host();
    let gpu = host.adopt();
    let energy = Network::mlp(vec![Input::new("action", 2)], &[4], Activation::Silu, 1);
    let energy =
        Model::new(&gpu, "energy", energy, &RunState::new(&gpu, 1).expect("a run")).expect("a model");
    let energy = NetworkEnergy::new(energy).expect("an energy");
    gpu.wait().expect("nothing is under way");
    host.device.destroy();
    // The host's own callback is still in its place; a poll calls it.
    host.device.poll(wgpu::PollType::Poll).expect("a poll of a lost device does nothing");
    assert_eq!(host.lost.load(Ordering::SeqCst), 1);
    let read = gpu.read::<f32>(energy.model().parameters());
    assert!(matches!(read, Err(Error::DeviceLost { .. })), "{read:?}");
    expect_lost(gpu.wait(), "takes no more work");
}
