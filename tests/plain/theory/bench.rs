//! Recordings that are given tensors and read afterwards, and comparisons of numbers.

use gibbs::Gpu;
use gibbs::gpu::{Bindings, DType, Plan, Recording, Shape, Tensor, Value};

use crate::common;

/// A recording with the tensors it is given and those that are read afterwards.
pub struct Bench<'a> {
    pub gpu: &'a Gpu,
    pub recording: Recording,
    pub bindings: Bindings,
    pub outputs: Vec<Tensor>,
}

/// A compiled [`Bench`].
pub struct Compiled<'a> {
    pub gpu: &'a Gpu,
    pub plan: Plan,
    pub outputs: Vec<Tensor>,
}

impl<'a> Bench<'a> {
    pub fn new(gpu: &'a Gpu, label: &str) -> Self {
        Self { gpu, recording: Recording::new(label), bindings: Bindings::new(), outputs: Vec::new() }
    }

    pub fn tensor(&mut self, tensor: &Tensor) -> Value {
        self.bindings.insert(tensor.label(), tensor);
        self.recording.slot(tensor.label(), tensor.dtype(), tensor.shape().clone()).unwrap()
    }

    pub fn input(&mut self, label: &str, shape: impl Into<Shape>, values: &[f32]) -> Value {
        let tensor = Tensor::from_slice(self.gpu, label, shape, values).unwrap();
        self.tensor(&tensor)
    }

    pub fn bind(&mut self, bindings: &Bindings) {
        self.bindings = std::mem::take(&mut self.bindings).merge(bindings);
    }

    pub fn output(&mut self, value: Value) {
        let label = format!("output {}", self.outputs.len());
        self.recording.expose(value, &label).unwrap();
        let shape = self.recording.shape(value).unwrap().plain();
        let tensor = common::poisoned(self.gpu, &label, DType::F32, shape);
        self.bindings.insert(&label, &tensor);
        self.outputs.push(tensor);
    }

    pub fn compile(self) -> Compiled<'a> {
        let bindings = self.bindings.only(&self.recording);
        let plan = self.recording.compile(self.gpu, &bindings).unwrap();
        Compiled { gpu: self.gpu, plan, outputs: self.outputs }
    }

    pub fn run(self) -> Vec<Vec<f32>> {
        let compiled = self.compile();
        compiled.plan.run(1).unwrap();
        compiled.read()
    }
}

impl Compiled<'_> {
    /// All outputs.
    pub fn read(&self) -> Vec<Vec<f32>> {
        self.outputs.iter().map(|tensor| self.gpu.read(tensor).unwrap()).collect()
    }
}

/// Mean and standard error.
pub fn mean(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0);
    (mean, (variance / count).sqrt())
}

pub fn mean_f32(values: &[f32]) -> f64 {
    values.iter().map(|&v| f64::from(v)).sum::<f64>() / values.len() as f64
}

#[track_caller]
pub fn assert_near(what: &str, found: f64, expected: f64, bound: f64) {
    let difference = (found - expected).abs();
    assert!(difference <= bound, "{what}: {found}, expected {expected} +- {bound} (off by {difference:.3e})");
}

#[track_caller]
pub fn assert_all_near(what: &str, found: &[f32], expected: &[f32], bound: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (f, e)) in found.iter().zip(expected).enumerate() {
        assert_near(&format!("{what}[{at}]"), f64::from(*f), f64::from(*e), bound);
    }
}

pub fn largest(values: &[f32]) -> f64 {
    values.iter().fold(0.0, |most: f64, &v| most.max(f64::from(v).abs()))
}
