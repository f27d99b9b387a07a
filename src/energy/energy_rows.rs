//! What the kernels of analytic and user-written energies share: rows of points, and what is asked
//! of them.

use crate::gpu::{Recording, Shape, Value};
use crate::nn::{Mode, Outputs};
use crate::{Error, Result};

/// Points of equally many rows per context.
#[derive(Clone, Debug)]
pub(crate) struct EnergyRows {
    /// Rows of points.
    pub rows: usize,
    /// Rows per context, at least 1.
    pub chains: usize,
    /// The context, if the energy takes one, in plain rows.
    pub context: Option<Value>,
    /// The points in plain rows.
    pub y: Value,
    shape: Shape,
}

impl EnergyRows {
    /// Checks `y` against the energy's dimensions and, if it takes one (`width > 0`), the context.
    ///
    /// # Errors
    /// [`Error::Argument`] if the context is missing, [`Error::Shape`] if shapes do not fit.
    pub fn new(
        recording: &mut Recording,
        operation: &str,
        (context, width): (Option<Value>, usize),
        (y, dims): (Value, usize),
    ) -> Result<Self> {
        let shape = recording.shape(y)?.plain();
        if shape.width() != dims || shape.is_empty() {
            let expected = format!("[contexts, chains, {dims}]");
            let hint = "give at least one point of the energy's dimensions";
            return Err(Error::shape(operation, "y", shape, expected, hint));
        }
        let (rows, y) = (shape.rows(), recording.plain_rows(y)?);
        // An unconditional energy ignores the context.
        if width == 0 {
            return Ok(Self { rows, chains: rows, context: None, y, shape });
        }
        let Some(context) = context else {
            return Err(Error::argument(
                operation,
                "the context",
                format!("is missing; give [contexts, {width}]"),
            ));
        };
        let context = recording.plain_rows(context)?;
        let found = recording.shape(context)?;
        if found.width() != width || found.is_empty() {
            let hint = "give one row per context";
            return Err(Error::shape(operation, "the context", found, format!("[contexts, {width}]"), hint));
        }
        let contexts = found.rows();
        if shape.dims().len() != 3 || shape.dims()[0] != contexts {
            let hint = "give the chains of each context together";
            return Err(Error::shape(operation, "y", shape, format!("[{contexts}, chains, {dims}]"), hint));
        }
        Ok(Self { rows, chains: rows / contexts, context: Some(context), y, shape })
    }

    /// Memory for what a dispatch writes.
    pub fn outputs(&self, recording: &mut Recording, mode: Mode) -> Outputs {
        let gradient = ("energy gradient", self.shape.clone());
        mode.outputs(recording, ("energy", Shape::new([self.rows, 1])), gradient)
    }
}

/// The smallest of the array lengths that kernels are compiled for and that holds `dims`.
pub(crate) fn capacity(dims: usize) -> u32 {
    CAPACITIES.into_iter().find(|&capacity| capacity as usize >= dims).unwrap_or(MAX_IN_REGISTERS as u32)
}

/// Array lengths that kernels are compiled for.
pub(crate) const CAPACITIES: [u32; 4] = [4, 16, 64, 128];
/// Most dimensions of an energy whose kernel keeps a point in registers.
pub(crate) const MAX_IN_REGISTERS: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_capacity_holds_the_dimensions() {
        for dims in 1..=MAX_IN_REGISTERS {
            assert!(capacity(dims) as usize >= dims);
            assert!(CAPACITIES.contains(&capacity(dims)));
        }
        assert_eq!((capacity(4), capacity(5), capacity(65)), (4, 16, 128));
    }
}
