//! Best of several chains per context (`shaders/mcmc/select_chain.wgsl`).

use std::cmp::Ordering;

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

/// Per context the chain with the lowest energy, the first on ties, among those whose energy and
/// position are finite; where there is none, chain 0 at NaN with the energy 3.4e38.
///
/// * `y`: `[contexts, chains, dims]`, `energy`: `[contexts, chains]`.
pub fn select_chain(y: &[f64], energy: &[f64], chains: usize, dims: usize) -> SelectChain {
    assert!(energy.len().is_multiple_of(chains), "`energy` is [contexts, chains]");
    assert_eq!(y.len(), energy.len() * dims, "`y` is [contexts, chains, dims]");
    let mut result = SelectChain { chain: vec![], y: vec![], energy: vec![] };
    for (b, row) in energy.chunks_exact(chains).enumerate() {
        let point = |k: usize| &y[(b * chains + k) * dims..][..dims];
        let sound = |k: &usize| row[*k].is_finite() && point(*k).iter().all(|v| v.is_finite());
        let best = (0..chains)
            .filter(sound)
            .min_by(|&k, &other| row[k].partial_cmp(&row[other]).unwrap_or(Ordering::Equal));
        result.chain.push(best.unwrap_or(0));
        match best {
            Some(k) => result.y.extend_from_slice(point(k)),
            None => result.y.extend(vec![f64::NAN; dims]),
        }
        result.energy.push(best.map_or(3.4e38, |k| row[k]));
    }
    result
}
