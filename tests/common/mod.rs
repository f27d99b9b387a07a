//! Harness of the tests that need a device: every adapter of this machine, poisoned outputs, named results.
//!
//! A test body takes an [`Adapter`]; [`every_adapter!`] makes one test of it for lavapipe, one for SwiftShader and one
//! for whatever other Vulkan, Metal or DX12 adapter there is. `GIBBS_CHECKED=1` runs all of them with checked shaders.
#![allow(dead_code, reason = "each test file uses its own part of this module")]
#![allow(unused_macros, unused_imports, reason = "as above")]

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::OnceLock;
use std::time::Duration;

use gibbs::gpu::{
    AdoptOptions, Bindings, DType, DeviceClass, Element, Gpu, GpuOptions, Knob, Recording, RunState, Shape,
    Target, Tensor, Value, describe,
};
use gibbs_reference::compare::{Tolerance, compare, compare_words};

/// All classes of devices that kernel variants are chosen for.
pub const CLASSES: [DeviceClass; 2] = [DeviceClass::Cpu, DeviceClass::Gpu];

/// What outputs hold before a run: a NaN that no kernel writes.
pub const POISON: u32 = 0x7fc0_dead;

/// An adapter, opened once per process.
pub struct Adapter {
    /// `lavapipe`, `swiftshader`, or the adapter's own name.
    pub name: &'static str,
    /// The context on it; scratch memory is poisoned.
    pub gpu: Gpu,
    source: gibbs::wgpu::Adapter,
}

impl Adapter {
    /// Another device on the same adapter, its shaders checked or trusted.
    pub fn reopen(&self, checked: bool) -> Gpu {
        Gpu::open_adapter(&self.source, &options(Some(checked))).expect("the adapter opened before")
    }

    /// A device of the same adapter that binds no more than so many bytes of a buffer at a time.
    pub fn narrow(&self, max_binding_bytes: u64) -> Gpu {
        let limits = gibbs::wgpu::Limits {
            max_storage_buffer_binding_size: max_binding_bytes,
            max_uniform_buffer_binding_size: 16 << 10,
            ..self.source.limits()
        };
        let descriptor = gibbs::wgpu::DeviceDescriptor { required_limits: limits, ..Default::default() };
        let (device, queue) =
            pollster::block_on(self.source.request_device(&descriptor)).expect("smaller limits are granted");
        let GpuOptions { poison, timeout, checked, .. } = options(None);
        Gpu::adopt(&device, &queue, AdoptOptions { poison, timeout, checked })
    }
}

/// The software renderers that CI must have, with a part of their adapters' names.
const REQUIRED: [(&str, &str); 2] = [("lavapipe", "llvmpipe"), ("swiftshader", "swiftshader")];

fn options(checked: Option<bool>) -> GpuOptions {
    GpuOptions {
        poison: Some(true),
        checked,
        timeout: Some(Duration::from_secs(120)),
        ..GpuOptions::default()
    }
}

/// Written past the test runner's capture, so that it shows although the test passes.
pub fn say(text: &str) {
    // A closed stderr must not fail a test.
    let _ = std::io::stderr().write_all(format!("gibbs tests: {text}\n").as_bytes());
}

/// Every adapter of this machine that tests run on. Says which were taken and which left out.
///
/// # Panics
/// Under `CI=true` if lavapipe or SwiftShader is absent, and if there is no adapter at all.
pub fn adapters() -> &'static [Adapter] {
    static ADAPTERS: OnceLock<Vec<Adapter>> = OnceLock::new();
    ADAPTERS.get_or_init(open_all)
}

fn open_all() -> Vec<Adapter> {
    let mut opened: Vec<Adapter> = Vec::new();
    for source in Gpu::adapters(None) {
        let info = source.get_info();
        if info.backend == gibbs::wgpu::Backend::Gl {
            say(&format!("left out: {}", describe(&info)));
            continue;
        }
        let known =
            REQUIRED.iter().find(|(_, part)| info.name.to_lowercase().contains(part)).map(|(name, _)| *name);
        if known.is_some_and(|name| opened.iter().any(|adapter| adapter.name == name)) {
            say(&format!("left out, a second one of its kind: {}", describe(&info)));
            continue;
        }
        let gpu = Gpu::open_adapter(&source, &options(None)).expect("an adapter that is listed opens");
        say(&format!("testing on {}", describe(&info)));
        let name = known.unwrap_or_else(|| Box::leak(info.name.clone().into_boxed_str()));
        opened.push(Adapter { name, gpu, source });
    }
    for (name, _) in REQUIRED {
        if !opened.iter().any(|adapter| adapter.name == name) {
            let remedy = format!(
                "{name} is absent: `scripts/adapters.sh need {name}` installs it, `scripts/adapters.sh run COMMAND` \
                 runs COMMAND with it"
            );
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{remedy} (required under CI=true)");
            say(&remedy);
        }
    }
    let required = |adapter: &Adapter| REQUIRED.iter().any(|(name, _)| *name == adapter.name);
    if opened.iter().all(required) {
        say("no adapter beside the software renderers: tests named `others::` check nothing on this machine");
    }
    assert!(!opened.is_empty(), "no Vulkan, Metal or DX12 adapter: `scripts/adapters.sh need lavapipe`");
    opened
}

/// For tests that need one adapter only: lavapipe, or the first one there is.
pub fn lavapipe() -> &'static Adapter {
    let all = adapters();
    all.iter().find(|adapter| adapter.name == "lavapipe").unwrap_or_else(|| {
        say(&format!("a test meant for lavapipe runs on {}", all[0].name));
        &all[0]
    })
}

/// Runs a test body on the adapters of a group: `lavapipe`, `swiftshader` or `others`.
pub fn run_on(group: &str, test: &str, body: fn(&Adapter)) {
    let known = |name: &str| REQUIRED.iter().any(|(required, _)| *required == name);
    let chosen: Vec<_> = adapters()
        .iter()
        .filter(|adapter| adapter.name == group || (group == "others" && !known(adapter.name)))
        .collect();
    if chosen.is_empty() && group != "others" {
        say(&format!("SKIPPED, no {group}: {test}"));
    }
    for adapter in chosen {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(adapter))) {
            eprintln!("failed on {}", adapter.gpu.adapter_name());
            resume_unwind(panic);
        }
    }
}

/// Makes tests of functions `fn(&Adapter)` of the surrounding module, one per function and group of adapters.
macro_rules! every_adapter {
    ($($body:ident),+ $(,)?) => {
        crate::common::every_adapter!(@group lavapipe $($body),+);
        crate::common::every_adapter!(@group swiftshader $($body),+);
        crate::common::every_adapter!(@group others $($body),+);
    };
    (@group $group:ident $($body:ident),+) => {
        mod $group {
            $(
                #[test]
                fn $body() {
                    let test = concat!(module_path!(), "::", stringify!($body));
                    crate::common::run_on(stringify!($group), test, super::$body);
                }
            )+
        }
    };
}
pub(crate) use every_adapter;

/// One recording with its tensors: inputs are uploaded, outputs poisoned, everything can be read by name afterwards.
pub struct Case {
    /// The recording; pass it to the `record` function under test.
    pub recording: Recording,
    adapter: &'static str,
    gpu: Gpu,
    tensors: Vec<(String, Tensor)>,
    knobs: Vec<(Knob, f32)>,
}

impl Case {
    /// An empty case with the kernel variants for this adapter; the label stands in front of failures.
    pub fn new(adapter: &Adapter, label: impl Into<String>) -> Self {
        Self::tuned(adapter, adapter.gpu.capabilities().class, label)
    }

    /// As [`Case::new`], with the kernel variants for a class of devices: they run on all of them.
    pub fn tuned(adapter: &Adapter, class: DeviceClass, label: impl Into<String>) -> Self {
        Self::on(adapter, &adapter.gpu, class, label)
    }

    /// As [`Case::tuned`], on another device of the adapter.
    pub fn on(adapter: &Adapter, gpu: &Gpu, class: DeviceClass, label: impl Into<String>) -> Self {
        Self {
            recording: Recording::tuned(label, Target { class, ..gpu.capabilities().target() }),
            adapter: adapter.name,
            gpu: gpu.clone(),
            tensors: Vec::new(),
            knobs: Vec::new(),
        }
    }

    /// A slot that holds `values`, in memory order.
    pub fn input<T: Element>(&mut self, name: &str, shape: impl Into<Shape>, values: &[T]) -> Value {
        let tensor = Tensor::from_slice(&self.gpu, name, shape, values).expect(name);
        self.bind(name, &tensor)
    }

    /// A packed matrix of unpadded `values: [rows, width]`.
    pub fn packed(&mut self, name: &str, rows: usize, width: usize, values: &[f32]) -> Value {
        self.input(name, Shape::packed(rows, width), &pack(values, rows, width))
    }

    /// A run at `step` with `seed`, as the recording's run state.
    pub fn run_state(&mut self, seed: u64, step: u64) {
        let state = RunState::at(&self.gpu, seed, step).expect("run state");
        self.tensors.push((RunState::SLOT.into(), state.tensor().clone()));
    }

    /// A slot full of poison, for kernels that write into memory of the caller.
    pub fn poisoned(&mut self, name: &str, dtype: DType, shape: impl Into<Shape>) -> Value {
        let tensor = poisoned(&self.gpu, name, dtype, shape);
        self.bind(name, &tensor)
    }

    /// A tensor that somebody else made, under `name`.
    pub fn bind(&mut self, name: &str, tensor: &Tensor) -> Value {
        self.tensors.push((name.into(), tensor.clone()));
        self.recording.slot(name, tensor.dtype(), tensor.shape().clone()).expect(name)
    }

    /// Turns what a `record` function returned into the poisoned output `name`.
    pub fn output(&mut self, name: &str, value: Value) {
        let shape = self.recording.shape(value).expect(name).clone();
        self.recording.expose(value, name).expect(name);
        self.tensors.push((name.into(), poisoned(&self.gpu, name, DType::F32, shape)));
    }

    /// Turns a knob before the run.
    pub fn turn(&mut self, knob: Knob, value: f32) {
        self.knobs.push((knob, value));
    }

    /// Compiles, replays `times` times and waits.
    pub fn run_times(self, times: u64) -> Results {
        let label = format!("{}: {}", self.adapter, self.recording.label());
        let all = self.tensors.iter().fold(Bindings::new(), |all, (name, t)| all.with(name, t));
        let plan = self.recording.compile(&self.gpu, &all).unwrap_or_else(|e| panic!("{label}: {e}"));
        assert_eq!(plan.dispatches(), self.recording.len(), "{label}: a dispatch was dropped");
        for &(knob, value) in &self.knobs {
            plan.set_knob(knob, value).unwrap_or_else(|e| panic!("{label}: {e}"));
        }
        plan.run(times).and_then(|()| self.gpu.wait()).unwrap_or_else(|e| panic!("{label}: {e}"));
        Results { label, gpu: self.gpu, tensors: self.tensors }
    }

    /// As [`Case::run_times`], once.
    pub fn run(self) -> Results {
        self.run_times(1)
    }

    /// Fails unless exactly these kernels were recorded, in this order, given by their stems.
    pub fn expect_kernels(&self, stems: &[&str]) {
        let kernels = self.recording.kernels();
        let found: Vec<&str> = kernels.iter().map(|kernel| kernel.source.stem()).collect();
        assert_eq!(found, stems, "{}: {}", self.adapter, self.recording.describe());
    }
}

/// The tensors of a case after its run.
pub struct Results {
    label: String,
    gpu: Gpu,
    tensors: Vec<(String, Tensor)>,
}

impl Results {
    fn tensor(&self, name: &str) -> &Tensor {
        let found = self.tensors.iter().find(|(known, _)| known == name);
        &found.unwrap_or_else(|| panic!("{}: no tensor `{name}`", self.label)).1
    }

    /// Elements in memory order.
    pub fn get<T: Element>(&self, name: &str) -> Vec<T> {
        self.gpu.read(self.tensor(name)).unwrap_or_else(|e| panic!("{}: `{name}`: {e}", self.label))
    }

    /// The bits of an `f32` tensor in memory order.
    pub fn bits(&self, name: &str) -> Vec<u32> {
        self.get::<f32>(name).into_iter().map(f32::to_bits).collect()
    }

    /// A packed matrix without its padding, which must be zero.
    pub fn packed(&self, name: &str) -> Vec<f32> {
        let shape = self.tensor(name).shape();
        assert!(shape.is_packed(), "{}: `{name}` is not packed", self.label);
        unpack(&self.get(name), shape.rows(), shape.width())
            .unwrap_or_else(|problem| panic!("{}: `{name}`: {problem}", self.label))
    }

    /// A packed matrix without its padding, which must be finite and nothing more.
    pub fn packed_inside(&self, name: &str) -> Vec<f32> {
        let shape = self.tensor(name).shape();
        let flat: Vec<f32> = self.get(name);
        assert!(flat.iter().all(|v| v.is_finite()), "{}: `{name}` is not finite", self.label);
        flat.chunks_exact(shape.stride()).flat_map(|row| &row[..shape.width()]).copied().collect()
    }

    /// Fails unless `found` is within `bound` of `expected`; the message names adapter, case and tensor.
    pub fn expect(&self, what: &str, found: &[f32], expected: &[f64], bound: impl Tolerance) {
        if let Err(mismatch) = compare(found, expected, bound) {
            panic!("{}: `{what}`: {mismatch}", self.label);
        }
    }

    /// Fails unless all words are equal.
    pub fn expect_words(&self, what: &str, found: &[u32], expected: &[u32]) {
        if let Err(mismatch) = compare_words(found, expected) {
            panic!("{}: `{what}`: {mismatch}", self.label);
        }
    }

    /// Fails unless every element at these indices still holds the poison.
    pub fn expect_untouched(&self, name: &str, mut indices: impl Iterator<Item = usize>) {
        let bits = self.bits(name);
        if let Some(at) = indices.find(|&at| bits[at] != POISON) {
            panic!("{}: `{name}`: element {at} was written: {:#010x}", self.label, bits[at]);
        }
    }
}

/// A tensor full of [`POISON`].
pub fn poisoned(gpu: &Gpu, name: &str, dtype: DType, shape: impl Into<Shape>) -> Tensor {
    let shape = shape.into();
    let words = vec![POISON; shape.len()];
    let written = match dtype {
        DType::F32 => Tensor::from_slice(gpu, name, shape, bytes_as::<f32>(&words)),
        DType::I32 => Tensor::from_slice(gpu, name, shape, bytes_as::<i32>(&words)),
        DType::U32 => Tensor::from_slice(gpu, name, shape, &words),
    };
    written.expect(name)
}

fn bytes_as<T: Element>(words: &[u32]) -> &[T] {
    bytemuck::cast_slice(words)
}

/// Rows padded with zeros to whole `vec4`s.
pub fn pack(values: &[f32], rows: usize, width: usize) -> Vec<f32> {
    assert_eq!(values.len(), rows * width, "values of a packed matrix");
    let mut flat = vec![0.0; Shape::packed(rows, width).len()];
    let stride = gibbs::gpu::pad4(width);
    for (row, values) in flat.chunks_exact_mut(stride).zip(values.chunks_exact(width)) {
        row[..width].copy_from_slice(values);
    }
    flat
}

/// The inverse of [`pack`]; padding that is not zero is an error.
pub fn unpack(flat: &[f32], rows: usize, width: usize) -> Result<Vec<f32>, String> {
    let stride = gibbs::gpu::pad4(width);
    assert_eq!(flat.len(), rows * stride, "elements of a packed matrix");
    for (row, values) in flat.chunks_exact(stride).enumerate() {
        if let Some(at) = values[width..].iter().position(|&value| value != 0.0) {
            let found = values[width + at];
            return Err(format!("padding of row {row}, column {}, holds {found:e}", width + at));
        }
    }
    Ok(flat.chunks_exact(stride).flat_map(|row| &row[..width]).copied().collect())
}

/// `n` numbers in (-1, 1), the same for the same seed: no symmetry, no repeated rows, none below 1e-3 in size.
pub fn data(seed: u32, n: usize) -> Vec<f32> {
    (0..n as u32)
        .map(|at| {
            let mut word =
                at.wrapping_mul(0x9e37_79b9) ^ seed.wrapping_mul(0x85eb_ca6b).wrapping_add(0x27d4_eb2f);
            for (shift, factor) in [(16, 0x7feb_352d), (15, 0x846c_a68b), (16, 1)] {
                word = (word ^ (word >> shift)).wrapping_mul(factor);
            }
            let size = 1e-3 + 0.998 * (f64::from(word >> 8) / f64::from(1 << 24));
            // Two thirds positive: sums do not cancel to zero on average.
            (if word.is_multiple_of(3) { -size } else { size }) as f32
        })
        .collect()
}

/// The same numbers in f64.
pub fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}
