//! What the kernels of analytic and user-written energies share: rows of points, and what is asked of them.

use crate::gpu::{DType, Recording, Shape, Value};
use crate::{Error, Result};

/// What a dispatch writes, by the code of the define `MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Energies.
    Value = 1,
    /// `dE/dy`.
    Gradient = 2,
    /// Both.
    Both = 3,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Value, Mode::Gradient, Mode::Both];

    /// The value of the define.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether gradients are written.
    pub const fn has_gradient(self) -> bool {
        self.code() & 2 != 0
    }
}

/// Points of equally many rows per context.
#[derive(Clone, Debug)]
pub(crate) struct EnergyRows {
    /// Rows of points.
    pub rows: usize,
    /// Rows per context, at least 1.
    pub chains: usize,
    /// The context, if the energy takes one.
    pub context: Option<Value>,
    shape: Shape,
}

/// What a dispatch writes to; an output that is not asked for is a spare buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs {
    /// `[rows, 1]`.
    pub energy: Value,
    /// Of the shape of `y`.
    pub gradient: Value,
}

impl EnergyRows {
    /// Checks `y` against the energy's dimensions and, if it takes one (`width > 0`), the context.
    ///
    /// # Errors
    /// [`Error::Argument`] if the context is missing, [`Error::Shape`] if shapes do not fit.
    pub fn new(
        recording: &Recording,
        operation: &str,
        (context, width): (Option<Value>, usize),
        (y, dims): (Value, usize),
    ) -> Result<Self> {
        let shape = recording.shape(y)?.clone();
        if shape.width() != dims || shape.is_packed() || shape.is_empty() {
            let expected = format!("[contexts, chains, {dims}]");
            let hint = "give at least one point of the energy's dimensions";
            return Err(Error::shape(operation, "y", shape, expected, hint));
        }
        let rows = shape.rows();
        // An unconditional energy ignores the context.
        if width == 0 {
            return Ok(Self { rows, chains: rows, context: None, shape });
        }
        let Some(context) = context else {
            return Err(Error::argument(
                operation,
                "the context",
                format!("is missing; give [contexts, {width}]"),
            ));
        };
        let found = recording.shape(context)?;
        if found.width() != width || found.is_packed() || found.is_empty() {
            let hint = "give one row per context";
            return Err(Error::shape(operation, "the context", found, format!("[contexts, {width}]"), hint));
        }
        let contexts = found.rows();
        if shape.dims().len() != 3 || shape.dims()[0] != contexts {
            let hint = "give the chains of each context together";
            return Err(Error::shape(operation, "y", shape, format!("[{contexts}, chains, {dims}]"), hint));
        }
        Ok(Self { rows, chains: rows / contexts, context: Some(context), shape })
    }

    /// Memory for what a dispatch writes.
    pub fn outputs(&self, recording: &mut Recording, mode: Mode) -> Outputs {
        let energy = match mode {
            Mode::Gradient => recording.scratch("unused", DType::F32, [4]),
            _ => recording.scratch("energy", DType::F32, [self.rows, 1]),
        };
        let gradient = match mode {
            Mode::Value => recording.scratch("unused", DType::F32, [4]),
            _ => recording.scratch("energy gradient", DType::F32, self.shape.clone()),
        };
        Outputs { energy, gradient }
    }
}

/// The smallest of the array lengths that kernels are compiled for and that holds `dims`.
pub(crate) fn capacity(dims: usize) -> u32 {
    CAPACITIES.into_iter().find(|&capacity| capacity as usize >= dims).unwrap_or(MOST_IN_REGISTERS as u32)
}

/// Array lengths that kernels are compiled for.
pub(crate) const CAPACITIES: [u32; 4] = [4, 16, 64, 128];
/// Most dimensions of an energy whose kernel keeps a point in registers.
pub(crate) const MOST_IN_REGISTERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_holds_the_dimensions() {
        for dims in 1..=MOST_IN_REGISTERS {
            assert!(capacity(dims) as usize >= dims);
            assert!(CAPACITIES.contains(&capacity(dims)));
        }
        assert_eq!((capacity(4), capacity(5), capacity(65)), (4, 16, 128));
    }
}
