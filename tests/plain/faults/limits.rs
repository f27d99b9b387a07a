//! Memory and limits that do not suffice.

use std::process::Command;

use crate::common::{self, lavapipe};
use gibbs::energy::{Energy, Gradient, MixtureEnergy, ShaderEnergy, ShaderEnergyOptions};
use gibbs::gpu::run::random;
use gibbs::gpu::{DType, Recording, RunState, Tensor};
use gibbs::mcmc::{ChainOptions, ChainSampler, Return};
use gibbs::proposal::UniformBox;
use gibbs::train::Trainer;
use gibbs::{Error, Gpu, Result, wgpu};

use super::{adopted, dataset, fresh_gpu, options, still_works};

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
