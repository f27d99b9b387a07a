//! Several devices in one process, and threads that share one.

use std::path::Path;
use std::sync::Arc;

use crate::common::lavapipe;
use gibbs::energy::{Energy, evaluate_energy, evaluate_gradient};
use gibbs::gpu::Points;
use gibbs::gpu::run::random;
use gibbs::gpu::{
    AdoptOptions, Bindings, DType, Fault, GpuOptions, MetricsRing, Recording, RunState, Tensor,
};
use gibbs::mcmc::{ChainOptions, ChainSampler, Return};
use gibbs::train::Trainer;
use gibbs::{Error, Gpu, Result, wgpu};
use tempfile::TempDir;

use super::{
    EVERY, POINTS, STEPS, Saver, bounded, dataset, fresh_gpu, langevin, lost, options, still_works, whole_run,
};

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
