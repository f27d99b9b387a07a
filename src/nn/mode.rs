//! Which of value and gradient a dispatch writes.

use crate::gpu::{DType, Recording, Shape, Value};

/// What is asked of a kernel that writes values, gradients by its input, or both. Its code is the
/// define `MODE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Values.
    Value = 1,
    /// Gradients.
    Gradient = 2,
    /// Both.
    Both = 3,
}

/// What a dispatch writes to; an output that is not asked for is a spare buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outputs {
    pub value: Value,
    pub gradient: Value,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Value, Mode::Gradient, Mode::Both];

    /// The value of the define `MODE`.
    pub const fn code(self) -> u32 {
        self as u32
    }

    /// Whether values are written.
    pub const fn has_value(self) -> bool {
        self.code() & 1 != 0
    }

    /// Whether gradients are written.
    pub const fn has_gradient(self) -> bool {
        self.code() & 2 != 0
    }

    /// Memory for what is asked for, by label and shape.
    pub fn outputs(
        self,
        recording: &mut Recording,
        value: (&str, Shape),
        gradient: (&str, Shape),
    ) -> Outputs {
        Outputs {
            value: room(recording, self.has_value(), value.0, value.1),
            gradient: room(recording, self.has_gradient(), gradient.0, gradient.1),
        }
    }
}

/// Memory for what a dispatch writes, if it is wanted.
pub(crate) fn room(recording: &mut Recording, wanted: bool, label: &str, shape: Shape) -> Value {
    match wanted {
        true => recording.scratch(label, DType::F32, shape),
        // An unused binding still needs a buffer of its own.
        false => recording.scratch("unused", DType::F32, [4]),
    }
}

/// The three recording methods of the trait `Energy` for a type that has
/// `record(&self, recording, mode, context, y) -> Result<Outputs>`.
macro_rules! energy_by_mode {
    () => {
        fn record_value(
            &self,
            recording: &mut $crate::gpu::Recording,
            context: Option<$crate::gpu::Value>,
            y: $crate::gpu::Value,
        ) -> $crate::Result<$crate::gpu::Value> {
            Ok(self.record(recording, $crate::nn::Mode::Value, context, y)?.value)
        }

        fn record_gradient(
            &self,
            recording: &mut $crate::gpu::Recording,
            context: Option<$crate::gpu::Value>,
            y: $crate::gpu::Value,
        ) -> $crate::Result<$crate::gpu::Value> {
            Ok(self.record(recording, $crate::nn::Mode::Gradient, context, y)?.gradient)
        }

        fn record_value_and_gradient(
            &self,
            recording: &mut $crate::gpu::Recording,
            context: Option<$crate::gpu::Value>,
            y: $crate::gpu::Value,
        ) -> $crate::Result<($crate::gpu::Value, $crate::gpu::Value)> {
            let outputs = self.record(recording, $crate::nn::Mode::Both, context, y)?;
            Ok((outputs.value, outputs.gradient))
        }
    };
}
pub(crate) use energy_by_mode;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_is_a_spare_buffer() {
        for (mode, value, gradient) in
            [(Mode::Value, true, false), (Mode::Gradient, false, true), (Mode::Both, true, true)]
        {
            assert_eq!((mode.has_value(), mode.has_gradient()), (value, gradient));
            let mut recording = Recording::new("outputs");
            let shapes = (Shape::new([5, 1]), Shape::new([5, 3]));
            let outputs =
                mode.outputs(&mut recording, ("value", shapes.0.clone()), ("gradient", shapes.1.clone()));
            assert_ne!(outputs.value, outputs.gradient);
            let spare = Shape::new([4]);
            let expected = if value { &shapes.0 } else { &spare };
            assert_eq!(recording.shape(outputs.value).unwrap(), expected);
            let expected = if gradient { &shapes.1 } else { &spare };
            assert_eq!(recording.shape(outputs.gradient).unwrap(), expected);
        }
    }
}
