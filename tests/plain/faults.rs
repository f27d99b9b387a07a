//! When things break that are nobody's mistake: a device that is lost at any point, memory that
//! runs out, limits too small for the work, devices and threads side by side. Every fault is a
//! value, nothing hangs, no number that comes back is wrong, and a run goes on from its last
//! checkpoint with the same bits.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{self, lavapipe};
use gibbs::energy::{
    Energy, Gradient, MixtureEnergy, NetworkEnergy, ShaderEnergy, ShaderEnergyOptions, evaluate_energy,
    evaluate_gradient,
};
use gibbs::gpu::Points;
use gibbs::gpu::run::random;
use gibbs::gpu::{
    AdoptOptions, Bindings, DType, Fault, GpuOptions, MetricsRing, Recording, RunState, Tensor,
};
use gibbs::mcmc::{ChainOptions, ChainSampler, Dynamics, Langevin, Return};
use gibbs::nn::{Activation, AdamOptions, Input, Model, Network, Schedule};
use gibbs::proposal::UniformBox;
use gibbs::tasks::density::Density;
use gibbs::train::{
    Dataset, EnergyOptions, Observer, ProposalOptions, RankingNceOptions, StepRecord, TrainOptions, Trainer,
};
use gibbs::{Error, Gpu, Result, wgpu};
use tempfile::TempDir;

/// Longest time for anything in this file; what takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(240);

/// Runs a test on a thread of its own, so that one that hangs fails.
fn bounded(work: impl FnOnce() + Send + 'static) {
    let (sender, done) = channel();
    let worker = std::thread::spawn(move || {
        work();
        let _ = sender.send(());
    });
    match done.recv_timeout(PATIENCE) {
        Err(std::sync::mpsc::RecvTimeoutError::Timeout) => panic!("still not done after {PATIENCE:?}"),
        _ => {
            if let Err(panic) = worker.join() {
                std::panic::resume_unwind(panic);
            }
        }
    }
}

/// Another device on lavapipe.
fn fresh_gpu() -> Gpu {
    lavapipe().reopen(false)
}

const STEPS: u64 = 12;
/// Steps between checkpoints.
const EVERY: u64 = 4;

fn options(seed: u64) -> TrainOptions {
    let optimizer = AdamOptions::default()
        .with_schedule(Schedule::Cosine { rate: 3e-3, warmup: 3, floor: 0.1 })
        .with_average_decay(0.9);
    let energy = EnergyOptions::default()
        .with_hidden(vec![8])
        .with_activation(Activation::Silu)
        .with_optimizer(optimizer);
    let nce = RankingNceOptions::default()
        .with_negatives(7)
        .with_energy(energy)
        .with_proposal(ProposalOptions::Mixture { components: 2, hidden: vec![6], optimizer });
    TrainOptions::new(nce).with_batch(9).with_steps(STEPS).with_seed(seed)
}

fn dataset() -> Dataset {
    let (x, y) = Density::Pinwheel.samples(200, 1);
    Dataset::new(x, 1, y.into_flattened(), 2).unwrap()
}

/// Keeps records, saves at every evaluation.
struct Saver {
    path: PathBuf,
    records: Vec<StepRecord>,
}

impl Saver {
    fn new(path: &Path) -> Self {
        Self { path: path.into(), records: Vec::new() }
    }
}

impl Observer for Saver {
    fn records(&mut self, records: &[StepRecord]) {
        self.records.extend(records.iter().map(|r| StepRecord { steps_per_second: 0.0, ..r.clone() }));
    }
    fn evaluate(&mut self, trainer: &mut Trainer) -> Result<()> {
        trainer.save(&self.path)
    }
}

/// A whole run; its records and its last checkpoint.
fn whole_run(gpu: &Gpu, seed: u64, path: &Path) -> (Vec<StepRecord>, Vec<u8>) {
    let mut saver = Saver::new(path);
    let mut trainer = Trainer::new(gpu, &dataset(), options(seed)).unwrap();
    trainer.train(STEPS, EVERY, &mut saver).unwrap();
    (saver.records, std::fs::read(path).unwrap())
}

/// The words of a loss, after a check of what it must name.
#[track_caller]
fn lost<T>(what: &str, result: Result<T>) -> String {
    let error = result.err().unwrap_or_else(|| panic!("{what}: went well on a lost device"));
    let text = error.to_string();
    match error {
        Error::DeviceLost { cause, adapter, last } => {
            assert!(!cause.is_empty() && !adapter.is_empty() && !last.is_empty(), "{what}: {text}");
            last
        }
        other => panic!("{what}: expected a lost device, got {other:?}"),
    }
}

// -------------------------------------------------------------------------------------------------
// Losing the device
// -------------------------------------------------------------------------------------------------

/// Loses the device in the middle of a run, then goes on from the last checkpoint on another one.
fn lose_and_resume(faults: &[Fault]) {
    let data = dataset();
    let folder = TempDir::new().unwrap();
    let (undisturbed, expected) = whole_run(&fresh_gpu(), 5, &folder.path().join("undisturbed"));
    assert_eq!(undisturbed.len() as u64, STEPS);
    let (mut struck, mut resumed) = (0, 0);
    for &fault in faults {
        let path = folder.path().join(format!("{fault:?}"));
        let mut saver = Saver::new(&path);
        let gpu = fresh_gpu();
        let mut trainer = Trainer::new(&gpu, &data, options(5)).unwrap();
        gpu.inject(fault);
        let outcome = trainer.train(STEPS, EVERY, &mut saver);
        if outcome.is_ok() {
            // How many submits a run takes depends on the machine's speed.
            assert_eq!(std::fs::read(&path).unwrap(), expected, "{fault:?} never came");
            continue;
        }
        struck += 1;
        let what = format!("{fault:?}");
        let cause = outcome.as_ref().err().map(Error::to_string).unwrap_or_default();
        assert!(cause.contains("lost: Destroyed"), "{what}: names the cause: {cause}");
        let last = lost(&what, outcome);
        assert!(last.contains("gibbs/") || last.contains("read"), "{what}: names what was submitted: {last}");
        assert!(last.contains("steps before"), "{what}: names the step: {last}");
        // What was told before the loss is true.
        assert_eq!(saver.records, undisturbed[..saver.records.len()], "{what}");
        // The context stays lost, and says so at every entrance.
        let saved = std::fs::read(&path).ok();
        lost(&what, trainer.save(&path));
        if trainer.step() < STEPS {
            lost(&what, trainer.train(STEPS, EVERY, &mut saver));
        }
        lost(&what, Trainer::new(&gpu, &data, options(5)));
        assert_eq!(std::fs::read(&path).ok(), saved, "{what}: a lost device overwrote the checkpoint");
        drop(trainer);

        let gpu = fresh_gpu();
        let mut trainer = match &saved {
            Some(_) => Trainer::resume(&gpu, &data, &path).unwrap(),
            None => Trainer::new(&gpu, &data, options(5)).unwrap(),
        };
        resumed += u64::from(saved.is_some());
        let from = trainer.step() as usize;
        let mut saver = Saver::new(&path);
        trainer.train(STEPS, EVERY, &mut saver).unwrap();
        assert_eq!(saver.records, undisturbed[from..], "{what}");
        if from as u64 == STEPS {
            trainer.save(&path).unwrap();
        }
        assert!(std::fs::read(&path).unwrap() == expected, "{what}: other bits after step {from}");
    }
    common::say(&format!(
        "{struck} of {} faults struck, {resumed} runs went on from a checkpoint",
        faults.len()
    ));
    assert!(2 * struck > faults.len() && resumed > 0, "{struck} struck, {resumed} resumed");
}

#[test]
fn a_device_lost_at_a_submit_ends_training_and_the_run_goes_on_elsewhere() {
    bounded(|| lose_and_resume(&[0, 1, 2, 3, 7, 12, 19, 22, 30, 40].map(Fault::DestroyAtSubmit)));
}

#[test]
fn a_device_lost_at_a_readback_ends_training_and_the_run_goes_on_elsewhere() {
    bounded(|| lose_and_resume(&[0, 1, 2, 3, 8, 14, 17, 20, 33].map(Fault::DestroyAtMap)));
}

/// Something of everything that talks to a device.
struct Parts {
    gpu: Gpu,
    trainer: Trainer,
    energy: NetworkEnergy,
    sampler: ChainSampler,
    tensor: Tensor,
    ring: MetricsRing,
}

const POINTS: Points<'static> = Points { context: &[0.3], contexts: 1, y: &[0.1, 0.2, 0.3, 0.4], dims: 2 };

fn langevin() -> Dynamics {
    Langevin::default().with_steps(3).with_quiet_last(true).into()
}

impl Parts {
    fn new(gpu: Gpu) -> Self {
        let trainer = Trainer::new(&gpu, &dataset(), options(1)).unwrap();
        let energy = trainer.raw_energy().unwrap();
        let sampling = ChainOptions::default()
            .with_contexts(1)
            .with_context_width(1)
            .with_chains(5)
            .with_dynamics(langevin())
            .with_returns(Return::All)
            .with_seed(1);
        let sampler =
            ChainSampler::new(&gpu, &energy, trainer.raw_proposal().unwrap().as_ref(), &sampling).unwrap();
        let tensor = Tensor::from_slice(&gpu, "numbers", [3], &[1.0f32, 2.0, 3.0]).unwrap();
        let ring = MetricsRing::new(&gpu, &["loss"], 0).unwrap();
        gpu.wait().unwrap();
        Self { gpu, trainer, energy, sampler, tensor, ring }
    }

    /// A copy of the ring through an encoder of the host's.
    fn copy_ring(&mut self) -> Result<()> {
        let mut encoder =
            self.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.ring.encode_copy(&mut encoder)?;
        self.gpu.queue().submit([encoder.finish()]);
        self.ring.collect(true).map(drop)
    }
}

/// An operation that ends with numbers from the device.
type Reading = (&'static str, fn(&mut Parts) -> Result<()>);

const READINGS: [Reading; 8] = [
    ("read", |p| p.gpu.read::<f32>(&p.tensor).map(drop)),
    ("read later", |p| {
        let mut readback = p.gpu.read_later::<f32>(&p.tensor)?;
        readback.wait(Duration::from_secs(20)).map(drop)
    }),
    ("energies", |p| evaluate_energy(&p.gpu, &p.energy, &POINTS).map(drop)),
    ("gradients", |p| evaluate_gradient(&p.gpu, &p.energy, &POINTS).map(drop)),
    ("samples", |p| p.sampler.sample(&[0.3]).map(drop)),
    ("step of a run", |p| RunState::new(&p.gpu, 1)?.step(&p.gpu).map(drop)),
    ("latch", |p| p.ring.check_latch()),
    ("metrics", Parts::copy_ring),
];

/// An operation that reads nothing.
const OTHERS: [Reading; 8] = [
    ("memory", |p| Tensor::zeros(&p.gpu, "zeros", DType::F32, [5]).map(drop)),
    ("write", |p| p.tensor.write(&p.gpu, &[1.0f32, 1.0, 1.0])),
    ("model", |p| {
        let network = Network::mlp(vec![Input::new("x", 1)], &[3], Activation::Tanh, 1);
        Model::new(&p.gpu, "other", network, &RunState::new(&p.gpu, 1)?).map(drop)
    }),
    ("wait", |p| p.gpu.wait()),
    ("run", |p| p.trainer.plan().run(1)),
    ("timed run", |p| p.trainer.plan().run_timed(1).map(drop)),
    ("timed dispatches", |p| p.trainer.plan().run_dispatches_timed(1).map(drop)),
    ("encode", |p| {
        let mut encoder = p.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        p.trainer.plan().encode(&mut encoder, &Bindings::new())
    }),
];

#[test]
fn a_loss_during_any_readback_is_an_error_and_stays_one() {
    bounded(|| {
        for (what, operation) in READINGS {
            for fault in [Fault::DestroyAtSubmit(0), Fault::DestroyAtMap(0)] {
                // The host submits its own encoder, which our hook does not see.
                if what == "metrics" && fault == Fault::DestroyAtSubmit(0) {
                    continue;
                }
                let mut parts = Parts::new(fresh_gpu());
                operation(&mut parts).unwrap_or_else(|error| panic!("{what} before the loss: {error}"));
                parts.gpu.inject(fault);
                lost(&format!("{what}, {fault:?}"), operation(&mut parts));
                for (other, operation) in READINGS.iter().chain(&OTHERS) {
                    lost(&format!("{other} after {what}, {fault:?}"), operation(&mut parts));
                }
                assert!(parts.gpu.faults().lost().is_some());
            }
        }
    });
}

/// What encodes alone submits nothing, and cannot find out.
const ENCODES: &str = "encode";

/// The device is gone and nobody was told: the first operation that asks anything of it says so, on
/// a device of ours with the cause.
#[test]
fn the_first_operation_after_a_silent_loss_says_so() {
    bounded(|| {
        for own in [true, false] {
            for (what, operation) in READINGS.iter().chain(&OTHERS) {
                if *what == ENCODES {
                    continue;
                }
                let gpu = if own { fresh_gpu() } else { adopted(wgpu::Limits::default()) };
                let mut parts = Parts::new(gpu);
                parts.gpu.device().destroy();
                let what = format!("{what} first, own {own}");
                let outcome = operation(&mut parts);
                let words = outcome.as_ref().err().map(Error::to_string).unwrap_or_default();
                lost(&what, outcome);
                assert_eq!(words.contains("Destroyed"), own, "{what}: names the cause: {words}");
                lost(&format!("{what}, then encode"), OTHERS[OTHERS.len() - 1].1(&mut parts));
            }
        }
    });
}

/// `GIBBS_FAULT=submit:0`, and everything a program does first.
#[test]
fn a_device_lost_at_its_first_submit_makes_nothing() {
    bounded(|| {
        let open = || {
            let gpu = fresh_gpu();
            gpu.inject(Fault::DestroyAtSubmit(0));
            gpu
        };
        let network = || Network::mlp(vec![Input::new("x", 1)], &[3], Activation::Tanh, 1);
        let gpu = open();
        // The first submit of a model draws its weights.
        lost("a model", Model::from_seed(&gpu, "first", network(), 1));
        lost("another model", Model::from_seed(&gpu, "second", network(), 1));
        lost("a model of zeros", Model::zeros(&gpu, "zeros", network()));
        lost("a state", RunState::new(&gpu, 1));
        lost("a trainer", Trainer::new(&gpu, &dataset(), options(1)));
        let gpu = open();
        lost("a trainer at once", Trainer::new(&gpu, &dataset(), options(1)));
        let mut recording = Recording::new("nothing made");
        let out = recording.slot("out", DType::F32, [4]).unwrap();
        let stream = recording.stream("check").unwrap();
        random::record(&mut recording, random::Distribution::Uniform, stream, 0, out).unwrap();
        lost("a plan", recording.compile(&gpu, &Bindings::new()));
    });
}

#[test]
fn a_readback_under_way_when_the_device_is_lost_gives_nothing() {
    bounded(|| {
        let parts = Parts::new(fresh_gpu());
        let mut early = parts.gpu.read_later::<f32>(&parts.tensor).unwrap();
        parts.gpu.wait().unwrap();
        let mut late = parts.gpu.read_later::<f32>(&parts.tensor).unwrap();
        parts.gpu.device().destroy();
        lost("a map under way", late.wait(Duration::from_secs(20)));
        lost("a map that had arrived", early.try_take());
        lost("a second look", early.wait(Duration::from_secs(20)));
    });
}

/// A device as a host has it: no handler of ours on it.
fn adopted(limits: wgpu::Limits) -> Gpu {
    let name = lavapipe().gpu.info().name.clone();
    let adapters = Gpu::adapters(Some(wgpu::Backends::all().difference(wgpu::Backends::GL)));
    let adapter = adapters.iter().find(|adapter| adapter.get_info().name == name).expect("found before");
    let descriptor = wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
    let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).expect("small limits");
    Gpu::adopt(&device, &queue, AdoptOptions::default().with_poison(true))
}

#[test]
fn a_hosts_device_that_is_lost_without_a_word_shows_at_the_next_wait() {
    bounded(|| {
        let parts = Parts::new(adopted(wgpu::Limits::default()));
        parts.gpu.device().destroy();
        let mut encoder =
            parts.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        // Nothing tells of the loss yet: encoding goes well, and the host's submit does nothing.
        parts.trainer.plan().encode(&mut encoder, &Bindings::new()).unwrap();
        parts.gpu.queue().submit([encoder.finish()]);
        lost("wait", parts.gpu.wait());
        let text = parts.gpu.wait().unwrap_err().to_string();
        assert!(text.contains("no more work") && text.contains("gibbs/train/step"), "{text}");
        let mut again = parts.gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        lost("encode", parts.trainer.plan().encode(&mut again, &Bindings::new()));
    });
}

#[test]
fn training_on_a_hosts_device_that_is_lost_ends() {
    bounded(|| {
        let folder = TempDir::new().unwrap();
        for submits in [0, 1, 5, 11] {
            let gpu = adopted(wgpu::Limits::default());
            let mut trainer = Trainer::new(&gpu, &dataset(), options(5)).unwrap();
            gpu.inject(Fault::DestroyAtSubmit(submits));
            let mut saver = Saver::new(&folder.path().join("checkpoint"));
            lost(&format!("submit {submits}"), trainer.train(STEPS, EVERY, &mut saver));
        }
    });
}

#[test]
fn a_fault_can_be_ordered_when_the_device_is_opened() {
    let options = GpuOptions::default()
        .with_adapter(Some(lavapipe().gpu.info().name.clone()))
        .with_fault(Fault::DestroyAtSubmit(0));
    let gpu = Gpu::open(&options).unwrap();
    let tensor = Tensor::from_slice(&gpu, "numbers", [1], &[1.0f32]).unwrap();
    let last = lost("read", gpu.read::<f32>(&tensor));
    assert!(last.contains("read `numbers`"), "{last}");
}

// -------------------------------------------------------------------------------------------------
// Memory and limits
// -------------------------------------------------------------------------------------------------

/// The device computes what it should.
#[track_caller]
fn still_works(gpu: &Gpu) {
    let mut recording = Recording::new("check");
    let run = RunState::new(gpu, 3).unwrap();
    let out = recording.slot("out", DType::F32, [100]).unwrap();
    let stream = recording.stream("check").unwrap();
    random::record(&mut recording, random::Distribution::Uniform, stream, 0, out).unwrap();
    let tensor = common::poisoned(gpu, "out", DType::F32, [100]);
    let bindings = run.bindings().with("out", &tensor);
    recording.compile(gpu, &bindings).unwrap().run(1).unwrap();
    let numbers = gpu.read::<f32>(&tensor).unwrap();
    assert!(numbers.iter().all(|v| *v > 0.0 && *v < 1.0), "{numbers:?}");
}

/// Set for the process that runs out of memory.
const SCARCE: &str = "GIBBS_TEST_SCARCE";

/// Takes tensors until memory runs out, then gives them back.
fn run_out_of_memory() {
    let gpu = fresh_gpu();
    still_works(&gpu);
    const BYTES: usize = 120 << 20;
    let mut taken = Vec::new();
    let error = loop {
        match Tensor::zeros(&gpu, "much", DType::F32, [BYTES / 4]) {
            Ok(tensor) => taken.push(tensor),
            Err(error) => break error,
        }
        assert!(taken.len() < 200, "24 GB fit into an address space of 4 GB");
    };
    let text = error.to_string();
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error:?}");
    assert!(text.contains("buffer `much`") && text.contains("fewer rows"), "{text}");
    println!("{} tensors of {BYTES} bytes, then: {text}", taken.len());
    assert!(gpu.faults().lost().is_none(), "{:?}", gpu.faults().lost());
    // A plan that does not fit is refused the same way, and leaves nothing behind.
    let mut recording = Recording::new("large");
    let stream = recording.stream("check").unwrap();
    for index in 0..3 {
        let scratch = recording.scratch(&format!("scratch {index}"), DType::F32, [BYTES / 4]);
        random::record(&mut recording, random::Distribution::Uniform, stream, index, scratch).unwrap();
    }
    let run = RunState::new(&gpu, 1).unwrap();
    let compiled = recording.compile(&gpu, &run.bindings());
    assert!(matches!(compiled, Err(Error::OutOfMemory { .. })), "{compiled:?}");
    still_works(&gpu);
    taken.clear();
    gpu.wait().unwrap();
    still_works(&gpu);
    Tensor::zeros(&gpu, "much", DType::F32, [BYTES / 4]).expect("what was given back can be taken again");
}

/// lavapipe takes memory from the address space and touches it later, so a bound on the address
/// space makes it run out without using any.
#[test]
#[cfg(target_os = "linux")]
fn running_out_of_memory_is_an_error_and_the_context_lives_on() {
    if std::env::var_os(SCARCE).is_some() {
        return run_out_of_memory();
    }
    if lavapipe().name != "lavapipe" {
        common::say("SKIPPED, needs lavapipe: running out of memory");
        return;
    }
    let program = std::env::current_exe().unwrap();
    // A test's name begins behind the name of its binary.
    let (_, module) = module_path!().split_once("::").unwrap();
    let name = format!("{module}::running_out_of_memory_is_an_error_and_the_context_lives_on");
    // In KiB.
    let script = format!("ulimit -v {}; exec \"$0\" --exact {name} --nocapture --test-threads=1", 4 << 20);
    let output = Command::new("sh").args(["-c", &script]).arg(program).env(SCARCE, "1").output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let line = said.lines().find(|line| line.contains("tensors of")).expect("it ran out");
    common::say(line.trim());
}

/// Langevin chains on a user's WGSL and on a Gaussian mixture: what devices of four storage buffers
/// can do.
fn chains_on_wells_of_ones_own(gpu: &Gpu) {
    let text =
        "fn energy(x: array<f32, CONTEXT>, y: array<f32, DIMS>) -> f32 { return y[0] * y[0] + abs(y[1]); }";
    let differences = Gradient::CentralDifferences { step: 1e-2 };
    let own =
        ShaderEnergy::new("own", "own.wgsl", text, ShaderEnergyOptions::new(0, 2, differences)).unwrap();
    let mixture = MixtureEnergy::isotropic(&[1.0], &[0.0, 0.0], &[1.0]).unwrap();
    let square = UniformBox::new(&[-1.0; 2], &[1.0; 2]).unwrap();
    for energy in [&own as &dyn Energy, &mixture] {
        for (returns, ends) in [(Return::All, 9), (Return::Lowest, 1), (Return::SampleTrace { thin: 50 }, 18)]
        {
            let options = ChainOptions::default().with_chains(9).with_returns(returns);
            let found = ChainSampler::new(gpu, energy, &square, &options).unwrap().sample(&[]).unwrap();
            assert!(
                found.len() == 2 * ends && found.iter().all(|end| end.is_finite()),
                "{returns:?}: {found:?}"
            );
        }
    }
}

#[track_caller]
fn limit<T>(result: Result<T>, words: &[&str]) {
    let error = result.err().expect("the limit is too small");
    let text = error.to_string();
    assert!(matches!(error, Error::Limit { .. }), "{error:?}");
    for word in words {
        assert!(text.contains(word), "`{word}` is missing in: {text}");
    }
}

#[test]
fn limits_of_a_hosts_device_that_are_too_small_are_named() {
    let defaults = wgpu::Limits::default();
    let adapter = lavapipe().gpu.info().name.clone();

    let gpu = adopted(wgpu::Limits { max_buffer_size: 64 << 10, ..defaults.clone() });
    limit(
        Tensor::zeros(&gpu, "wide", DType::F32, [(16 << 10) + 1]),
        &["`wide`", "65540", "65536", &adapter, "fewer rows"],
    );
    still_works(&gpu);

    let gpu = adopted(wgpu::Limits { max_storage_buffer_binding_size: 1024, ..defaults.clone() });
    limit(Trainer::new(&gpu, &dataset(), options(1)), &["1024", &adapter]);
    still_works(&gpu);

    let gpu = adopted(wgpu::Limits { max_storage_buffers_per_shader_stage: 2, ..defaults.clone() });
    limit(Trainer::new(&gpu, &dataset(), options(1)), &["storage", "allows 2", &adapter]);
    still_works(&gpu);

    // Everything that is too small at once, with what still works: chains on one's own energy.
    let gpu = adopted(wgpu::Limits {
        max_storage_buffers_per_shader_stage: 4,
        max_compute_workgroup_storage_size: 8 << 10,
        ..defaults.clone()
    });
    let all = [
        "max_storage_buffers_per_shader_stage is 4, kernels need up to 7",
        "max_compute_workgroup_storage_size is 8192, kernels need up to 16384",
        "still work",
        "These do not: networks",
        "required_limits",
    ];
    limit(Trainer::new(&gpu, &dataset(), options(1)), &all);
    let words = gpu.capabilities().limits_too_small().expect("two are");
    assert!(all.iter().all(|part| words.contains(part)), "{words}");
    assert!(gpu.capabilities().to_string().contains(&words));
    still_works(&gpu);
    chains_on_wells_of_ones_own(&gpu);

    let gpu = adopted(wgpu::Limits {
        max_compute_invocations_per_workgroup: 4,
        max_compute_workgroup_size_x: 4,
        ..defaults.clone()
    });
    limit(Trainer::new(&gpu, &dataset(), options(1)), &["workgroup", "allows 4", &adapter]);
    gpu.wait().unwrap();

    let gpu = adopted(wgpu::Limits { max_compute_workgroup_storage_size: 16, ..defaults.clone() });
    limit(Trainer::new(&gpu, &dataset(), options(1)), &["workgroup memory", "allows 16", &adapter]);
    still_works(&gpu);

    let gpu =
        adopted(wgpu::Limits { max_buffer_size: 4096, max_storage_buffer_binding_size: 4096, ..defaults });
    limit(Tensor::zeros(&gpu, "wide", DType::F32, [1025]), &["`wide`", "4100", "4096"]);
    limit(Trainer::new(&gpu, &dataset(), options(1)), &["4096"]);
    still_works(&gpu);
}

// -------------------------------------------------------------------------------------------------
// Side by side
// -------------------------------------------------------------------------------------------------

#[test]
fn two_contexts_train_side_by_side_with_the_bits_of_each_alone() {
    bounded(|| {
        let folder = TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let alone = [1, 2].map(|seed| whole_run(&fresh_gpu(), seed, &path("alone")));
        assert_ne!(alone[0].1, alone[1].1);
        // Opened apart: devices of two instances, whose objects wgpu numbers alike.
        let name = lavapipe().gpu.info().name.clone();
        let open = || Gpu::open(&GpuOptions::default().with_adapter(Some(name.clone()))).unwrap();
        let gpus = [open(), open()];
        let mut runs: Vec<_> = gpus
            .iter()
            .zip([1, 2])
            .map(|(gpu, seed)| {
                let trainer = Trainer::new(gpu, &dataset(), options(seed)).unwrap();
                (trainer, Saver::new(&path(&format!("run {seed}"))))
            })
            .collect();
        for until in [EVERY, 2 * EVERY, STEPS] {
            for (trainer, saver) in &mut runs {
                trainer.train(until, EVERY, saver).unwrap();
            }
        }
        for ((_, saver), (records, bytes)) in runs.iter().zip(&alone) {
            assert_eq!(&saver.records, records);
            assert!(std::fs::read(&saver.path).unwrap() == *bytes, "{}: other bits", saver.path.display());
        }
    });
}

#[test]
fn what_belongs_to_one_device_is_refused_on_another() {
    let name = lavapipe().gpu.info().name.clone();
    let open = || Gpu::open(&GpuOptions::default().with_adapter(Some(name.clone()))).unwrap();
    let (a, b) = (open(), open());
    let sibling = fresh_gpu();
    let trainer = Trainer::new(&b, &dataset(), options(1)).unwrap();
    let energy = trainer.raw_energy().unwrap();
    #[track_caller]
    fn refused<T>(result: Result<T>, words: &[&str]) {
        let error = result.err().expect("the tensor is not the device's");
        let text = error.to_string();
        assert!(matches!(error, Error::Argument { .. }), "{error:?}");
        for word in words.iter().chain(&["another device"]) {
            assert!(text.contains(word), "`{word}` is missing in: {text}");
        }
    }
    for stranger in [&b, &sibling] {
        let theirs = Tensor::from_slice(stranger, "theirs", [4], &[1.0f32, 2.0, 3.0, 4.0]).unwrap();
        refused(a.read::<f32>(&theirs), &["read", "`theirs`"]);
        refused(a.read_later::<f32>(&theirs), &["read", "`theirs`"]);
        refused(theirs.write(&a, &[0.0f32; 4]), &["write", "`theirs`"]);
        let run = RunState::new(&a, 1).unwrap();
        let mut recording = Recording::new("mixed");
        let out = recording.slot("out", DType::F32, [4]).unwrap();
        let stream = recording.stream("mixed").unwrap();
        random::record(&mut recording, random::Distribution::Uniform, stream, 0, out).unwrap();
        refused(
            recording.compile(&a, &run.bindings().with("out", &theirs)),
            &["`out`", "`mixed`", "`theirs`"],
        );
        let plan = recording.compile(&a, &run.bindings()).unwrap();
        let mut encoder = a.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        refused(plan.encode(&mut encoder, &Bindings::new().with("out", &theirs)), &["`out`", "`theirs`"]);
        let ours = Tensor::zeros(&a, "ours", DType::F32, [4]).unwrap();
        let plan = recording.compile(&a, &run.bindings().with("out", &ours)).unwrap();
        refused(plan.encode(&mut encoder, &Bindings::new().with("out", &theirs)), &["`theirs`"]);
        plan.run(1).unwrap();
        assert!(a.read::<f32>(&ours).unwrap().iter().all(|&v| v > 0.0), "the plan is none the worse");
        assert_eq!(stranger.read::<f32>(&theirs).unwrap(), [1.0, 2.0, 3.0, 4.0], "nobody wrote to it");
    }
    // Whole models as well: energies, samplers, checkpoints' weights.
    refused(evaluate_energy(&a, &energy, &POINTS), &["energy/parameters"]);
    refused(evaluate_gradient(&a, &energy, &POINTS), &["energy/parameters"]);
    let options = ChainOptions::default()
        .with_contexts(1)
        .with_context_width(1)
        .with_chains(3)
        .with_dynamics(langevin())
        .with_returns(Return::All)
        .with_seed(1);
    refused(
        ChainSampler::new(&a, &energy, trainer.raw_proposal().unwrap().as_ref(), &options),
        &["parameters"],
    );
    // One device under two contexts is one device.
    let again = Gpu::adopt(b.device(), b.queue(), AdoptOptions::default());
    let energies = evaluate_energy(&b, &energy, &POINTS).unwrap();
    assert_eq!(evaluate_energy(&again, &energy, &POINTS).unwrap(), energies);
    still_works(&a);
}

/// An encoder does not tell its device: wgpu's looks objects up by number, and takes what it finds.
#[test]
fn the_encoder_of_another_device_is_refused() {
    let name = lavapipe().gpu.info().name.clone();
    let open = || Gpu::open(&GpuOptions::default().with_adapter(Some(name.clone()))).unwrap();
    let encoder = |gpu: &Gpu| gpu.device().create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
    let plan_on = |gpu: &Gpu| {
        let mut recording = Recording::new("drawn");
        let out = recording.slot("out", DType::F32, [4]).unwrap();
        let stream = recording.stream("drawn").unwrap();
        random::record(&mut recording, random::Distribution::Uniform, stream, 0, out).unwrap();
        let tensor = Tensor::from_slice(gpu, "out", [4], &[7.0f32; 4]).unwrap();
        let run = RunState::new(gpu, 1).unwrap();
        (recording.compile(gpu, &run.bindings().with("out", &tensor)).unwrap(), tensor)
    };
    // Devices of two instances, whose objects have the same numbers.
    let (a, b) = (open(), open());
    let ((plan, _), (_, theirs)) = (plan_on(&a), plan_on(&b));
    let mut foreign = encoder(&b);
    let mut ring = MetricsRing::new(&a, &["loss"], 0).unwrap();
    for outcome in [plan.encode(&mut foreign, &Bindings::new()), ring.encode_copy(&mut foreign)] {
        let text = outcome.as_ref().expect_err("it is of another device").to_string();
        assert!(matches!(outcome, Err(Error::Argument { .. })), "{text}");
        let devices = text.matches("of this process, llvmpipe").count();
        assert!(devices == 2 || !text.contains("llvmpipe"), "names both devices: {text}");
        assert!(text.contains("encode `") && text.contains("Gpu::adopt"), "{text}");
    }
    // A device that nothing was compiled for has no name here, and is refused as well.
    let stranger = open();
    let text = plan.encode(&mut encoder(&stranger), &Bindings::new()).unwrap_err().to_string();
    assert!(text.contains("no plans for"), "{text}");
    // The encoder is none the worse, and nothing was written.
    b.queue().submit([foreign.finish()]);
    assert_eq!(b.read::<f32>(&theirs).unwrap(), [7.0; 4]);
    [&a, &b, &stranger].into_iter().for_each(still_works);

    // Of one instance, wgpu refuses it when it is finished, in words that name the plan's device.
    let (c, d) = (fresh_gpu(), fresh_gpu());
    let ((plan, _), (_, theirs)) = (plan_on(&c), plan_on(&d));
    let mut foreign = encoder(&d);
    plan.encode(&mut foreign, &Bindings::new()).unwrap();
    let scope = d.device().push_error_scope(wgpu::ErrorFilter::Validation);
    drop(foreign.finish());
    let text = pollster::block_on(scope.pop()).expect("refused").to_string();
    assert!(text.contains("the encoder of another device"), "{text}");
    assert_eq!(d.read::<f32>(&theirs).unwrap(), [7.0; 4]);
    [&c, &d].into_iter().for_each(still_works);
}

/// The work of one thread: a training run, samples, energies, all as bits.
fn work(gpu: &Gpu, seed: u64, folder: &Path) -> (Vec<u8>, Vec<f32>, Vec<f32>) {
    let (_, bytes) = whole_run(gpu, seed, &folder.join(format!("{seed}")));
    let trainer = Trainer::resume(gpu, &dataset(), folder.join(format!("{seed}"))).unwrap();
    let energy = trainer.averaged_energy().unwrap();
    let options = ChainOptions::default()
        .with_contexts(2)
        .with_context_width(1)
        .with_chains(7)
        .with_dynamics(langevin())
        .with_returns(Return::All)
        .with_seed(seed);
    let mut sampler =
        ChainSampler::new(gpu, &energy, trainer.raw_proposal().unwrap().as_ref(), &options).unwrap();
    let mut samples = Vec::new();
    for _ in 0..4 {
        samples.extend(sampler.sample(&[0.1, -0.4]).unwrap());
    }
    let points = Points { context: &[0.1, -0.4], contexts: 2, y: &samples, dims: energy.dims() };
    let energies = evaluate_energy(gpu, &energy, &points).unwrap();
    (bytes, samples, energies)
}

#[test]
fn threads_that_share_a_context_compute_what_they_would_alone() {
    bounded(|| {
        let folder = TempDir::new().unwrap();
        let gpu = fresh_gpu();
        let seeds = [11, 12, 13];
        let alone = seeds.map(|seed| work(&gpu, seed, folder.path()));
        assert_ne!(alone[0].1, alone[1].1);
        let shared = Arc::new(fresh_gpu());
        let together: Vec<_> = std::thread::scope(|scope| {
            let threads = seeds.map(|seed| {
                let (gpu, folder) = (shared.clone(), folder.path());
                scope.spawn(move || work(&gpu, seed, folder))
            });
            threads.into_iter().map(|thread| thread.join().expect("no thread panics")).collect()
        });
        for ((seed, alone), together) in seeds.iter().zip(&alone).zip(&together) {
            assert!(alone == together, "the bits of seed {seed} depend on the other threads");
        }
    });
}

#[test]
fn threads_that_share_a_context_all_see_its_loss() {
    bounded(|| {
        let gpu = fresh_gpu();
        let folder = TempDir::new().unwrap();
        let trainers: Vec<_> =
            (0..3).map(|seed| Trainer::new(&gpu, &dataset(), options(seed)).unwrap()).collect();
        gpu.inject(Fault::DestroyAtSubmit(17));
        std::thread::scope(|scope| {
            for (at, mut trainer) in trainers.into_iter().enumerate() {
                let mut saver = Saver::new(&folder.path().join(format!("{at}")));
                scope.spawn(move || {
                    // One may be done before the fault comes; its next submits bring it.
                    let outcome = trainer
                        .train(STEPS, EVERY, &mut saver)
                        .and_then(|()| (0..20).try_for_each(|_| trainer.save(&saver.path)));
                    lost(&format!("thread {at}"), outcome);
                });
            }
        });
    });
}
