//! Environment variables that say nothing we know. A test of one is its own process again, with the
//! variable set.

use std::process::Command;

use gibbs::gpu::{AdoptOptions, DType, Tensor};
use gibbs::{Gpu, GpuOptions, wgpu};

use super::expectation::expect;
use crate::common::{self, lavapipe};

/// Set to the name of the variable in the process that has it.
const INNER: &str = "GIBBS_TEST_OF_THE_ENVIRONMENT";

/// Runs a test of this module again with a variable; what it printed.
fn again(test: &str, name: &str, value: &str) -> String {
    let (_, module) = module_path!().split_once("::").unwrap();
    let test = format!("{module}::{test}");
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", &test, "--nocapture", "--test-threads=1"]).env(INNER, name).env(name, value);
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{name}={value}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// In that process, the variable and its value as an error must name them.
fn inner() -> Option<String> {
    let name = std::env::var(INNER).ok()?;
    let value = std::env::var(&name).expect("it is set");
    Some(format!("{name}=`{value}`"))
}

#[test]
fn a_variable_that_cannot_be_read_is_named_with_its_value() {
    if let Some(set) = inner() {
        expect(Gpu::open(&GpuOptions::default()), "Argument", &["environment variable", &set]);
        return;
    }
    for (name, value) in [
        ("GIBBS_NO_SUBGROUPS", "maybe"),
        ("GIBBS_NO_TIMESTAMPS", "2"),
        ("GIBBS_CHECKED", "disable"),
        ("GIBBS_FAULT", "submit"),
        ("WGPU_BACKEND", "vulcan"),
        ("WGPU_BACKEND", "vulkan,cuda"),
    ] {
        again("a_variable_that_cannot_be_read_is_named_with_its_value", name, value);
    }
}

#[test]
fn switches_take_many_words() {
    if inner().is_some() {
        let gpu = Gpu::open(&GpuOptions::default().with_adapter("llvmpipe".to_owned())).unwrap();
        println!("checked: {}", gpu.capabilities().checked);
        return;
    }
    if lavapipe().name != "lavapipe" {
        common::say("SKIPPED, needs lavapipe: switches take many words");
        return;
    }
    for (value, expected) in [("TRUE", true), ("on", true), ("No", false), ("off", false), ("", false)] {
        let said = again("switches_take_many_words", "GIBBS_CHECKED", value);
        assert!(said.contains(&format!("checked: {expected}")), "{value}: {said}");
    }
}

/// A device that is adopted has no error to open with: whatever is asked of it then fails.
#[test]
fn an_adopted_device_fails_with_the_variable() {
    if let Some(set) = inner() {
        let adapter = Gpu::adapters(None).into_iter().next().expect("an adapter");
        let descriptor = wgpu::DeviceDescriptor::default();
        let (device, queue) = pollster::block_on(adapter.request_device(&descriptor)).unwrap();
        let gpu = Gpu::adopt(&device, &queue, AdoptOptions::default());
        for _ in 0..2 {
            let zeros = Tensor::zeros(&gpu, "zeros", DType::F32, [4]);
            expect(zeros, "Argument", &["environment variable", &set, "neither on nor off"]);
        }
        return;
    }
    again("an_adopted_device_fails_with_the_variable", "GIBBS_NO_SUBGROUPS", "maybe");
}
