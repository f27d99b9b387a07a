//! Passes through a model: its network with its own parameters, inputs by name.

use crate::error::counted;
use crate::gpu::{Recording, Shape, Value};
use crate::nn::{ACTION, CONTEXT, Forward, FusedNetwork, GradientMode, Keep, Model, TIME};
use crate::{Error, Result};

impl Model {
    /// Numbers per row of an input, if the network has one of that name.
    pub fn input_width(&self, name: &str) -> Option<usize> {
        self.network().inputs.iter().find(|input| input.name == name).map(|input| input.width)
    }

    /// Whether it has the input [`CONTEXT`].
    pub fn is_conditional(&self) -> bool {
        self.input_width(CONTEXT).is_some()
    }

    /// Checks that the inputs are exactly `required` and, if it is conditional, [`CONTEXT`], and
    /// that there are `outputs` outputs; a [`TIME`] has width 1. `kind` says in errors what the
    /// model is taken as.
    ///
    /// # Errors
    /// [`Error::Argument`] that lists what is needed.
    pub fn check_inputs(&self, kind: &str, required: &[&str], outputs: usize) -> Result<()> {
        let network = self.network();
        let fits = |name: &&str| match self.input_width(name) {
            Some(width) => *name != TIME || width == 1,
            None => false,
        };
        let known = required.len() + usize::from(self.is_conditional() && !required.contains(&CONTEXT));
        if required.iter().all(fits) && network.inputs.len() == known && network.outputs() == outputs {
            return Ok(());
        }
        let names: Vec<String> = required.iter().map(|name| input_in_words(name)).collect();
        let optional = match required.contains(&CONTEXT) {
            true => "alone".into(),
            false => format!("and, if it is conditional, `{CONTEXT}`"),
        };
        let inputs = network.inputs.iter().map(|input| format!("`{}` of width {}", input.name, input.width));
        let problem = format!(
            "needs {} and the input{} {} {optional}; it has {} and {}",
            counted(outputs, "output"),
            if names.len() == 1 { "" } else { "s" },
            names.join(", "),
            counted(network.outputs(), "output"),
            inputs.collect::<Vec<_>>().join(", "),
        );
        Err(Error::argument(format!("{kind} `{}`", self.name()), "the network", problem))
    }

    /// The inputs with their values by name: those given and, for a conditional model, the context,
    /// which others ignore.
    ///
    /// # Errors
    /// [`Error::Argument`] if the context of a conditional model is missing.
    pub fn with_context<'a>(
        &self,
        given: &[(&'a str, Value)],
        context: Option<Value>,
    ) -> Result<Vec<(&'a str, Value)>> {
        let mut inputs = given.to_vec();
        if self.is_conditional() {
            let Some(context) = context else {
                let problem = "is missing; the network has an input of that name";
                return Err(Error::argument(format!("model `{}`", self.name()), "the context", problem));
            };
            inputs.push((CONTEXT, context));
        }
        Ok(inputs)
    }

    /// Records the forward pass ([`crate::nn::Network::record_forward`]).
    ///
    /// # Errors
    /// As there.
    pub fn record_forward(
        &self,
        recording: &mut Recording,
        inputs: &[(&str, Value)],
        keep: Keep,
    ) -> Result<Forward> {
        let parameters = self.value(recording)?;
        self.network().record_forward(recording, parameters, inputs, keep)
    }

    /// Records the outputs alone, plain `[rows, outputs]`. One dispatch more than
    /// [`Model::record_packed_value`] where there are not 4, 8, 12 .. outputs.
    ///
    /// # Errors
    /// As [`Model::record_forward`].
    pub fn record_value(&self, recording: &mut Recording, inputs: &[(&str, Value)]) -> Result<Value> {
        self.record_forward(recording, inputs, Keep::Output)?.output(recording)
    }

    /// Records the outputs alone, packed `[rows, outputs]` as the last layer writes them
    /// ([`Shape::packed`]).
    ///
    /// # Errors
    /// As [`Model::record_forward`].
    pub fn record_packed_value(&self, recording: &mut Recording, inputs: &[(&str, Value)]) -> Result<Value> {
        Ok(self.record_forward(recording, inputs, Keep::Output)?.packed_output)
    }

    /// Records the gradient by one of the inputs, given that by the outputs, `[rows, outputs]`
    /// ([`crate::nn::Network::record_input_gradient`]).
    ///
    /// # Errors
    /// As there.
    pub fn record_input_gradient(
        &self,
        recording: &mut Recording,
        forward: &Forward,
        output_gradient: Value,
        input: &str,
    ) -> Result<Value> {
        let parameters = self.value(recording)?;
        self.network().record_input_gradient(recording, parameters, forward, output_gradient, input)
    }

    /// Records the outputs, plain `[rows, outputs]`, and the gradient of their sum by one of the
    /// inputs, in the shape that it was given.
    ///
    /// # Errors
    /// As [`Model::record_forward`] and [`Model::record_input_gradient`].
    pub fn record_value_and_input_gradient(
        &self,
        recording: &mut Recording,
        inputs: &[(&str, Value)],
        input: &str,
    ) -> Result<(Value, Value)> {
        let (value, gradient) = self.record_packed_value_and_input_gradient(recording, inputs, input)?;
        Ok((recording.plain_rows(value)?, gradient))
    }

    /// As [`Model::record_value_and_input_gradient`], with packed outputs.
    ///
    /// # Errors
    /// As there.
    pub fn record_packed_value_and_input_gradient(
        &self,
        recording: &mut Recording,
        inputs: &[(&str, Value)],
        input: &str,
    ) -> Result<(Value, Value)> {
        let forward = self.record_forward(recording, inputs, Keep::Slopes)?;
        let output_gradient = unit_output_gradient(recording, forward.packed_output)?;
        let gradient = self.record_input_gradient(recording, &forward, output_gradient, input)?;
        Ok((forward.packed_output, gradient))
    }

    /// Records the gradient by the parameters, flat in the network's layout, given that by the
    /// outputs, `[rows, outputs]` ([`crate::nn::Network::record_parameter_gradient`]).
    ///
    /// # Errors
    /// As there.
    pub fn record_parameter_gradient(
        &self,
        recording: &mut Recording,
        forward: &Forward,
        output_gradient: Value,
    ) -> Result<Value> {
        let parameters = self.value(recording)?;
        let mode = GradientMode::Overwrite;
        self.network().record_parameter_gradient(recording, parameters, forward, output_gradient, mode)
    }

    /// Records what kernels for the whole of a narrow network need, where they fit
    /// ([`crate::nn::Network::record_fused`]).
    ///
    /// # Errors
    /// As there.
    pub fn record_fused(
        &self,
        recording: &mut Recording,
        inputs: &[(&str, Value)],
    ) -> Result<Option<FusedNetwork>> {
        let parameters = self.value(recording)?;
        self.network().record_fused(recording, parameters, inputs, ACTION)
    }
}

/// The gradient of the outputs' sum by the outputs: ones, in packed rows.
fn unit_output_gradient(recording: &mut Recording, output: Value) -> Result<Value> {
    let shape = recording.shape(output)?;
    let (rows, width) = (shape.rows(), shape.width());
    let shape = Shape::packed(rows, width);
    let row = (0..shape.stride()).map(|column| f32::from(u8::from(column < width)));
    let ones = row.collect::<Vec<f32>>().repeat(rows);
    recording.constant("unit output gradient", shape, &ones)
}

fn input_in_words(name: &str) -> String {
    match name {
        TIME => format!("`{TIME}` of width 1"),
        _ => format!("`{name}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gpu::DType;

    #[test]
    fn ones_fill_the_outputs_and_zeros_the_padding() {
        let mut recording = Recording::new("ones");
        for (width, row) in [(1, vec![1.0, 0.0, 0.0, 0.0]), (5, vec![1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0])]
        {
            let output = recording.scratch("output", DType::F32, Shape::packed(3, width));
            let ones = unit_output_gradient(&mut recording, output).unwrap();
            assert_eq!(recording.shape(ones).unwrap(), &Shape::packed(3, width));
            let expected =
                recording.constant("unit output gradient", Shape::packed(3, width), &row.repeat(3));
            assert_eq!(ones, expected.unwrap());
        }
    }

    #[test]
    fn words_say_which_inputs_are_needed() {
        assert_eq!(counted(1, "output"), "1 output");
        assert_eq!(counted(2, "output"), "2 outputs");
        assert_eq!(input_in_words(ACTION), "`action`");
        assert_eq!(input_in_words(TIME), "`time` of width 1");
    }
}
