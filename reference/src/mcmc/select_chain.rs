//! Best of several chains per context (`shaders/mcmc/select_chain.wgsl`).

/// Result of [`select_chain`].
#[derive(Clone, Debug, PartialEq)]
pub struct SelectChain {
    /// `[contexts]`: index of the chosen chain within its context.
    pub chain: Vec<usize>,
    /// `[contexts, dims]`
    pub y: Vec<f64>,
    /// `[contexts]`
    pub energy: Vec<f64>,
}

/// Per context the chain with the lowest energy, the first on ties.
///
/// * `y`: `[contexts, chains, dims]`, `energy`: `[contexts, chains]`.
pub fn select_chain(y: &[f64], energy: &[f64], chains: usize, dims: usize) -> SelectChain {
    assert!(energy.len().is_multiple_of(chains), "`energy` is [contexts, chains]");
    assert_eq!(y.len(), energy.len() * dims, "`y` is [contexts, chains, dims]");
    let mut result = SelectChain { chain: vec![], y: vec![], energy: vec![] };
    for (b, row) in energy.chunks_exact(chains).enumerate() {
        let mut best = 0;
        for k in 1..chains {
            if row[k] < row[best] {
                best = k;
            }
        }
        let at = b * chains + best;
        result.chain.push(best);
        result.y.extend_from_slice(&y[at * dims..(at + 1) * dims]);
        result.energy.push(row[best]);
    }
    result
}
