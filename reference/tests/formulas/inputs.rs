//! Networks whose inputs go through layers of their own.

use crate::common::{check_gradient, coefficients, downstream, is_smooth, near, normals};
use gibbs_reference::compose::{Block, InputNetwork, Network};
use gibbs_reference::nn::Activation;

fn dense(inputs: usize, outputs: usize, activation: Activation) -> Block {
    Block::Dense { weights: vec![0.0; inputs * outputs], bias: vec![0.0; outputs], activation }
}

fn norm(width: usize) -> Block {
    Block::Norm { gain: vec![0.0; width], bias: vec![0.0; width], epsilon: 0.1 }
}

const ROWS: usize = 6;
/// Rows and width of each input: one per row, one per three rows, one for all, in an order that is
/// not that of the rows.
const INPUTS: [(usize, usize); 3] = [(2, 3), (ROWS, 2), (1, 2)];

/// Layers of their own for the shared inputs: one begins with a norm, the other with a residual
/// block and ends in one.
fn network(activation: Activation) -> InputNetwork {
    let normalizer = Activation::Identity;
    let shared = vec![norm(3), dense(3, 4, activation), dense(4, 5, normalizer), norm(5)];
    let all = vec![
        Block::Residual(vec![dense(2, 2, activation)]),
        dense(2, 3, normalizer),
        Block::Residual(vec![Block::Activate(activation)]),
    ];
    let inputs = [shared, Vec::new(), all].map(|layers| Network { layers }).to_vec();
    let joined = Network { layers: vec![dense(5 + 2 + 3, 4, activation), dense(4, 2, normalizer)] };
    let network = InputNetwork { inputs, joined };
    let count = network.parameters().len();
    network.with_parameters(&normals(31, count).iter().map(|p| 0.6 * p).collect::<Vec<_>>())
}

fn values() -> Vec<Vec<f64>> {
    INPUTS.iter().enumerate().map(|(at, (rows, width))| normals(32 + at as u64, rows * width)).collect()
}

fn of(values: &[Vec<f64>]) -> Vec<(&[f64], usize)> {
    values.iter().zip(INPUTS).map(|(values, (rows, _))| (&values[..], rows)).collect()
}

#[test]
fn layers_of_inputs_backward_matches_differences() {
    for activation in Activation::ALL.into_iter().filter(is_smooth) {
        let (network, values) = (network(activation), values());
        assert_eq!(network.with_parameters(&network.parameters()), network);
        let trace = network.forward(&of(&values), ROWS);
        let gradient = network.backward(&trace, &coefficients(ROWS * 2));
        check_gradient("parameters", &network.parameters(), &gradient.parameters, |p| {
            downstream(network.with_parameters(p).forward(&of(&values), ROWS).output())
        });
        for at in 0..INPUTS.len() {
            check_gradient("inputs", &values[at], &gradient.inputs[at], |x| {
                let mut values = values.clone();
                values[at] = x.to_vec();
                downstream(network.forward(&of(&values), ROWS).output())
            });
        }
    }
}

/// Normalizer layers of an input are part of the first layer behind the concatenation: their
/// product.
#[test]
fn an_affine_layer_of_an_input_joins_the_first_layer() {
    let (a, b) = (normals(40, 2 * 3), normals(41, 3));
    let (w, c) = (normals(42, (3 + 1) * 2), normals(43, 2));
    let of = |weights: &[f64], bias: &[f64]| Block::Dense {
        weights: weights.to_vec(),
        bias: bias.to_vec(),
        activation: Activation::Identity,
    };
    let network = InputNetwork {
        inputs: vec![Network { layers: vec![of(&a, &b)] }, Network { layers: Vec::new() }],
        joined: Network { layers: vec![of(&w, &c)] },
    };
    let (x, y) = (normals(44, 2 * 2), normals(45, 4));
    let trace = network.forward(&[(&x, 2), (&y, 4)], 4);
    for row in 0..4 {
        for out in 0..2 {
            let mut expected = c[out] + y[row] * w[3 * 2 + out];
            for j in 0..3 {
                let h = b[j] + (0..2).map(|i| x[row / 2 * 2 + i] * a[i * 3 + j]).sum::<f64>();
                expected += h * w[j * 2 + out];
            }
            near("output", trace.output()[row * 2 + out], expected, 1e-14);
        }
    }
}
