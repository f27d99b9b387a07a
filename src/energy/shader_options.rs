//! What a user's energy in WGSL is: its sizes, where its gradient comes from, and the names it may
//! use.

use std::fmt::Write;

use crate::gpu::{DType, Element, Param, Shape, Tensor};
use crate::{Error, Result};

/// Where the gradient of a user's energy comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gradient {
    /// The user's text defines `energy_gradient`.
    Written,
    /// Central differences of the user's `energy`: two evaluations per dimension.
    ///
    /// The error is `h^2 / 6` times the third derivative, plus about `1.2e-7 |E| / h` from the
    /// rounding of two energies, where `h = max(step, |y_j| / 4096)`. For energies and lengths of
    /// order 1 the best step is about 5e-3.
    CentralDifferences {
        /// The step, in data units.
        step: f64,
    },
}

/// A tensor that the user's text reads.
#[derive(Clone, Debug)]
pub(crate) struct ShaderTensor {
    pub name: String,
    pub dtype: DType,
    pub shape: Shape,
    /// None for a slot that the caller fills.
    pub tensor: Option<Tensor>,
}

/// Sizes, gradient and names of a [`super::ShaderEnergy`].
#[derive(Clone, Debug)]
pub struct ShaderEnergyOptions {
    pub(crate) context: usize,
    pub(crate) dims: usize,
    pub(crate) gradient: Gradient,
    pub(crate) numbers: Vec<(String, Param)>,
    pub(crate) knobs: Vec<(String, f32)>,
    pub(crate) tensors: Vec<ShaderTensor>,
    pub(crate) walls: bool,
}

/// Most dimensions of `x` and of `y`: they are passed as arrays by value.
const MAX_DIMS: usize = 64;
/// With the rows of contexts and points, energies and gradients that makes seven storage bindings.
const MAX_TENSORS: usize = 3;
/// Bindings before it belong to `lib/shader_energy.wgsl`.
const FIRST_BINDING: usize = 5;

impl ShaderEnergyOptions {
    /// An energy of `dims` dimensions in contexts of width `context` (0 for an unconditional
    /// energy), at most 64 each.
    pub fn new(context: usize, dims: usize, gradient: Gradient) -> Self {
        let (numbers, knobs, tensors) = (Vec::new(), Vec::new(), Vec::new());
        Self { context, dims, gradient, numbers, knobs, tensors, walls: true }
    }

    /// Says that energy and gradient are finite at every finite point, which makes unadjusted
    /// Langevin dynamics cheaper ([`super::Energy::has_walls`]).
    pub fn without_walls(mut self) -> Self {
        self.walls = false;
        self
    }

    /// Adds a number that stays: the text may use `name` as a `const`.
    pub fn number(mut self, name: &str, value: impl Into<Param>) -> Self {
        self.numbers.push((name.into(), value.into()));
        self
    }

    /// Adds a number that the host may turn between submits ([`super::ShaderEnergy::knob`]): the
    /// text may use `knobs.name`.
    pub fn knob(mut self, name: &str, initial: f32) -> Self {
        self.knobs.push((name.into(), initial));
        self
    }

    /// Adds a tensor, at most three: the text may read `name[i]`, a flat array in memory order
    /// (rows of a packed shape with their padding).
    pub fn tensor(mut self, name: &str, tensor: &Tensor) -> Self {
        let (dtype, shape) = (tensor.dtype(), tensor.shape().clone());
        self.tensors.push(ShaderTensor { name: name.into(), dtype, shape, tensor: Some(tensor.clone()) });
        self
    }

    /// As [`ShaderEnergyOptions::tensor`], for a tensor that is bound later, to the slot
    /// [`super::ShaderEnergy::slot`].
    pub fn slot<T: Element>(mut self, name: &str, shape: impl Into<Shape>) -> Self {
        let (name, shape) = (name.into(), shape.into());
        self.tensors.push(ShaderTensor { name, dtype: T::DTYPE, shape, tensor: None });
        self
    }

    /// Checks sizes, names and numbers; `operation` names the energy.
    pub(crate) fn check(&self, operation: &str) -> Result<()> {
        let fail = |what: &str, problem: String| Err(Error::argument(operation, what, problem));
        if !(1..=MAX_DIMS).contains(&self.dims) {
            return fail("the dimensions", format!("are {}, allowed are 1 to {MAX_DIMS}", self.dims));
        }
        if self.context > MAX_DIMS {
            let problem = format!("is {}, allowed are 0 to {MAX_DIMS}; pass more as a tensor", self.context);
            return fail("the context's width", problem);
        }
        if let Gradient::CentralDifferences { step } = self.gradient
            && !((step as f32) > 0.0 && (step as f32).is_finite())
        {
            return fail("the step of central differences", format!("is {step}; it must be positive"));
        }
        if self.tensors.len() > MAX_TENSORS {
            return fail("the tensors", format!("are {}, at most {MAX_TENSORS} fit", self.tensors.len()));
        }
        let mut seen: Vec<&str> = Vec::new();
        for name in self.names() {
            let letters = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !letters {
                return fail(&format!("the name `{name}`"), "must be letters, digits and `_`".into());
            }
            if seen.contains(&name) {
                return fail(&format!("the name `{name}`"), "is given twice".into());
            }
            seen.push(name);
        }
        for (name, number) in &self.numbers {
            if let Param::F32(value) = number
                && !value.is_finite()
            {
                return fail(&format!("the number `{name}`"), format!("is {value}; it must be finite"));
            }
        }
        match self.knobs.iter().find(|(_, initial)| !initial.is_finite()) {
            Some((name, value)) => {
                fail(&format!("the knob `{name}`"), format!("is {value}; it must be finite"))
            }
            None => Ok(()),
        }
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let numbers = self.numbers.iter().map(|(name, _)| name.as_str());
        let knobs = self.knobs.iter().map(|(name, _)| name.as_str());
        numbers.chain(knobs).chain(self.tensors.iter().map(|tensor| tensor.name.as_str()))
    }

    /// Names of the bindings that [`ShaderEnergyOptions::declarations`] declares.
    pub(crate) fn bindings(&self) -> impl Iterator<Item = &str> {
        let knobs = (!self.knobs.is_empty()).then_some("knobs");
        self.tensors.iter().map(|tensor| tensor.name.as_str()).chain(knobs)
    }

    /// The WGSL that declares the names of the user's text.
    pub(crate) fn declarations(&self) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        for (name, number) in &self.numbers {
            let _ = match number {
                Param::U32(value) => writeln!(text, "const {name}: u32 = {value}u;"),
                Param::I32(value) => writeln!(text, "const {name}: i32 = i32({value});"),
                Param::F32(value) => writeln!(text, "const {name}: f32 = {value:e}f;"),
            };
        }
        for (index, tensor) in self.tensors.iter().enumerate() {
            let (binding, name, dtype) = (FIRST_BINDING + index, &tensor.name, tensor.dtype);
            let _ =
                writeln!(text, "@group(0) @binding({binding}) var<storage, read> {name}: array<{dtype}>;");
        }
        if !self.knobs.is_empty() {
            let binding = FIRST_BINDING + MAX_TENSORS;
            let members: Vec<String> = self.knobs.iter().map(|(name, _)| format!("{name}: f32")).collect();
            let _ = writeln!(text, "struct Knobs {{ {} }}", members.join(", "));
            let _ = writeln!(text, "@group(0) @binding({binding}) var<uniform> knobs: Knobs;");
        }
        text
    }
}
