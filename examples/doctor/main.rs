//! What gibbs finds on this machine, what it would choose and why, and whether every kernel gives
//! the right answers.
//!
//! Every adapter is listed, those that tests leave out included, and on each the test bodies of
//! `tests/kernels` run: all kernels against their f64 references. The exit status says whether
//! there is an adapter and nothing failed.

#[path = "../../tests/common/mod.rs"]
mod common;
mod install;
#[path = "../../tests/kernels/mod.rs"]
mod kernels;
mod self_test;
#[path = "../common/mod.rs"]
mod shared;

use std::process::ExitCode;

use clap::Parser;
use gibbs::gpu::{Capabilities, DeviceClass, describe};
use gibbs::testing::{Adapter, Configuration};
use gibbs::{Gpu, GpuOptions, wgpu};
use kernels::EPS;

/// Look at the adapters of this machine and test every kernel on them.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// Only adapters with this in their name, driver or backend, such as `nvidia` or `gl`.
    #[arg(long, value_name = "PART")]
    adapter: Option<String>,
    /// Leave the self-test out.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    println!("gibbs {} on {} {}\n", env!("CARGO_PKG_VERSION"), std::env::consts::OS, std::env::consts::ARCH);
    let all = Gpu::adapters(None);
    let part = arguments.adapter.as_deref().unwrap_or_default().to_lowercase();
    let wanted = |info: &wgpu::AdapterInfo| describe(info).to_lowercase().contains(&part);
    list(&all);
    let chosen: Vec<_> = all.iter().filter(|source| wanted(&source.get_info())).collect();
    if let Err(gibbs::Error::Argument { .. }) = Gpu::choose(&GpuOptions::default()) {
        // A variable of the environment is at fault, which `list` has told, not a driver.
    } else if all.is_empty() {
        println!("{}", install::advice());
    } else if chosen.is_empty() {
        println!("No adapter has `{part}` in its name, driver or backend.");
    }
    let failed: Vec<String> = chosen
        .iter()
        .filter(|source| !examine(source, arguments.quick))
        .map(|s| describe(&s.get_info()))
        .collect();
    match (chosen.is_empty(), failed.is_empty(), arguments.quick) {
        (true, ..) => ExitCode::FAILURE,
        (_, false, _) => {
            println!("FAILED on {}", failed.join("; "));
            ExitCode::FAILURE
        }
        (.., true) => {
            println!("Every adapter that was asked for opens; the self-test was left out (--quick).");
            ExitCode::SUCCESS
        }
        _ => {
            println!("Every kernel gives the right answers on every adapter that was tested.");
            ExitCode::SUCCESS
        }
    }
}

/// The adapters in order of preference, and which of them `Gpu::open` takes.
fn list(all: &[wgpu::Adapter]) {
    println!("Adapters, best first:");
    let taken = Gpu::choose(&GpuOptions::default());
    let reason = match std::env::var("GIBBS_ADAPTER") {
        Ok(part) => format!("the first with GIBBS_ADAPTER=`{part}` in its name, driver or backend"),
        Err(_) => "discrete before integrated, virtual and CPU; Vulkan, Metal and DX12 before GL".into(),
    };
    let taken_info = taken.as_ref().map(wgpu::Adapter::get_info).ok();
    for (at, source) in all.iter().enumerate() {
        let info = source.get_info();
        println!("  {}. {}, {:?}", at + 1, describe(&info), info.device_type);
    }
    match (taken, taken_info) {
        (Ok(_), Some(info)) => println!("`Gpu::open` takes {}:\n  {reason}.\n", describe(&info)),
        (Err(error), _) => println!("`Gpu::open` takes none: {error}\n"),
        _ => {}
    }
}

/// Opens, describes and tests one adapter; false where something failed.
fn examine(source: &wgpu::Adapter, quick: bool) -> bool {
    println!("== {}", describe(&source.get_info()));
    let adapter = match Adapter::open(source, Configuration::Default) {
        Ok(adapter) => adapter,
        Err(failure) => {
            println!("does not open: {failure}\n");
            return false;
        }
    };
    let capabilities = adapter.gpu.capabilities();
    println!("{capabilities}");
    explain_kernels(capabilities, source.get_info().device_type);
    let good = quick || self_test::run(&adapter);
    println!();
    good
}

fn explain_kernels(capabilities: &Capabilities, kind: wgpu::DeviceType) {
    let why = match capabilities.class {
        DeviceClass::Cpu => {
            "a software renderer: large register blocks, no barriers where they can be avoided"
        }
        DeviceClass::Gpu => "not a software renderer: small register blocks, many invocations",
    };
    println!("kernels: device type {kind:?}, so {why}");
    let (chosen, plain): (Vec<_>, Vec<_>) =
        gibbs::kernels_for(capabilities).into_iter().partition(|choice| {
            choice.variants.iter().any(|v| v.class.is_some() || v.paths.iter().next().is_some())
        });
    for choice in &chosen {
        println!("  {choice}");
    }
    let plain: Vec<_> = plain.iter().map(|choice| choice.stem()).collect();
    println!("  the same on every device: {}", plain.join(", "));
}
