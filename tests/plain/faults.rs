//! When things break that are nobody's mistake: a device that is lost at any point, memory that
//! runs out, limits too small for the work, devices and threads side by side. Every fault is a
//! value, nothing hangs, no number that comes back is wrong, and a run goes on from its last
//! checkpoint with the same bits.

use std::path::{Path, PathBuf};
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::common::{self, lavapipe};
use gibbs::energy::{NetworkEnergy, evaluate_energy, evaluate_gradient};
use gibbs::gpu::Points;
use gibbs::gpu::run::random;
use gibbs::gpu::{
    AdoptOptions, Bindings, DType, Fault, GpuOptions, MetricsRing, Recording, RunState, Tensor,
};
use gibbs::mcmc::{ChainOptions, ChainSampler, Dynamics, Langevin, Return};
use gibbs::nn::{Activation, AdamOptions, Input, Model, Network, Schedule};
use gibbs::tasks::density::Density;
use gibbs::train::{
    Dataset, EnergyOptions, Observer, ProposalOptions, RankingNceOptions, StepRecord, TrainOptions, Trainer,
};
use gibbs::{Error, Gpu, Result, wgpu};
use tempfile::TempDir;

mod devices;
mod limits;

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
