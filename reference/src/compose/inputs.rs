//! Networks over several inputs, each of which may go through layers of its own before they are
//! joined.

use super::network::{Network, NetworkTrace};

/// Layers over the concatenation of inputs that first go through layers of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct InputNetwork {
    /// For each input, in the order of the concatenation, its own layers; none takes it as it is.
    pub inputs: Vec<Network>,
    /// The layers behind the concatenation.
    pub joined: Network,
}

/// A forward pass.
#[derive(Clone, Debug)]
pub struct InputTrace {
    /// For each input what its own layers did to its own rows.
    pub inputs: Vec<NetworkTrace>,
    /// What the layers behind the concatenation did.
    pub joined: NetworkTrace,
    rows: usize,
    own_rows: Vec<usize>,
}

/// Gradient of a scalar to everything such a network depends on.
#[derive(Clone, Debug, PartialEq)]
pub struct InputGradient {
    /// In the order of [`InputNetwork::parameters`].
    pub parameters: Vec<f64>,
    /// For each input `[own rows, width]`.
    pub inputs: Vec<Vec<f64>>,
}

impl InputTrace {
    /// `[rows, outputs]`
    pub fn output(&self) -> &[f64] {
        &self.joined.output
    }
}

impl InputNetwork {
    fn parts(&self) -> impl Iterator<Item = &Network> {
        self.inputs.iter().chain([&self.joined])
    }

    /// All parameters: those of each input's layers in turn, then those of the joined layers.
    pub fn parameters(&self) -> Vec<f64> {
        self.parts().flat_map(Network::parameters).collect()
    }

    /// The same network with other parameters, in the order of [`InputNetwork::parameters`].
    pub fn with_parameters(&self, parameters: &[f64]) -> Self {
        let mut rest = parameters;
        let mut take = |network: &Network| {
            let (own, behind) = rest.split_at(network.parameters().len());
            rest = behind;
            network.with_parameters(own)
        };
        let inputs = self.inputs.iter().map(&mut take).collect();
        let joined = take(&self.joined);
        assert!(rest.is_empty(), "more parameters than the network holds");
        Self { inputs, joined }
    }

    /// Output for inputs given as values and rows. Row `r` of the `rows` meets row `r own / rows`
    /// of an input of `own` rows.
    pub fn forward(&self, inputs: &[(&[f64], usize)], rows: usize) -> InputTrace {
        assert_eq!(inputs.len(), self.inputs.len(), "a value for each input");
        let pass = |(network, (values, own)): (&Network, &(&[f64], usize))| network.forward(values, *own);
        let traces: Vec<NetworkTrace> = self.inputs.iter().zip(inputs).map(pass).collect();
        let own_rows: Vec<usize> = inputs.iter().map(|(_, own)| *own).collect();
        let mut whole = Vec::new();
        for row in 0..rows {
            for (trace, &own) in traces.iter().zip(&own_rows) {
                let width = trace.output.len() / own;
                let from = row / (rows / own) * width;
                whole.extend_from_slice(&trace.output[from..from + width]);
            }
        }
        InputTrace { inputs: traces, joined: self.joined.forward(&whole, rows), rows, own_rows }
    }

    /// Gradient to parameters and inputs; `output_gradient: [rows, outputs]` is the gradient at the
    /// output.
    pub fn backward(&self, trace: &InputTrace, output_gradient: &[f64]) -> InputGradient {
        let joined = self.joined.backward(&trace.joined, output_gradient);
        let columns = joined.inputs.len() / trace.rows;
        let (mut parameters, mut inputs) = (Vec::new(), Vec::new());
        let mut column = 0;
        for ((network, own), &own_rows) in self.inputs.iter().zip(&trace.inputs).zip(&trace.own_rows) {
            let width = own.output.len() / own_rows;
            // An own row meets several rows and has the sum of their gradients.
            let mut sums = vec![0.0; own.output.len()];
            for row in 0..trace.rows {
                let to = row / (trace.rows / own_rows) * width;
                for j in 0..width {
                    sums[to + j] += joined.inputs[row * columns + column + j];
                }
            }
            let gradient = network.backward(own, &sums);
            parameters.extend(gradient.parameters);
            inputs.push(gradient.inputs);
            column += width;
        }
        parameters.extend(joined.parameters);
        InputGradient { parameters, inputs }
    }
}
