//! Have the chains mixed, and how many independent draws are they worth?
//!
//! Split R-hat and effective sample size as in Vehtari, Gelman, Simpson, Carpenter & Bürkner 2021,
//! "Rank-normalization, folding, and localization" (arXiv 1903.08008), equations 1 to 4 and 8 to
//! 13, WITHOUT rank normalization and folding: for quantities with finite variance. In f64 on the
//! host.
//!
//! A chain that stands still while others move is a failure, whatever the formulas say of it: its
//! own variance of 0 would pass for a chain that has mixed.

use crate::{Error, Result};

/// Fewest draws per chain: two per half.
const FEWEST: usize = 4;

/// Mean, spread and diagnostics of one quantity over all chains that are finite throughout.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Summary {
    /// Mean over all draws.
    pub mean: f64,
    /// Standard deviation over all draws.
    pub std: f64,
    /// [`split_r_hat`]; nothing for a quantity that never varies, or whose halves have no variance.
    pub r_hat: Option<f64>,
    /// [`effective_sample_size`], of the chains that move; nothing where `r_hat` is.
    pub ess: Option<f64>,
}

/// What a trace says of one context's chains.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TraceSummary {
    /// By dimension, over the chains that are not lost.
    pub dims: Vec<Summary>,
    /// Chains with a draw that is not finite; they are in no number.
    pub lost: Vec<usize>,
    /// Chains that stand still in every dimension; `r_hat` is infinite if another one moves.
    pub frozen: Vec<usize>,
}

impl TraceSummary {
    /// Dimensions in which no chain moves.
    pub fn constant(&self) -> Vec<usize> {
        (0..self.dims.len()).filter(|&j| self.dims[j].std == 0.0).collect()
    }

    /// Whether every dimension that varies has an R-hat of at most `r_hat`, 1.01 by custom, and no
    /// chain is lost or frozen.
    pub fn has_mixed(&self, r_hat: f64) -> bool {
        let mixed =
            |summary: &Summary| summary.std == 0.0 || summary.r_hat.is_some_and(|found| found <= r_hat);
        self.lost.is_empty() && self.frozen.is_empty() && self.dims.iter().all(mixed)
    }
}

/// Potential scale reduction of the halves of the chains: near 1 where all halves have one
/// distribution; above about 1.01 they have not. Infinite where a chain stands still while others
/// move, or where every half stands still, each at another place.
///
/// `sqrt(((n - 1) / n W + B / n) / W)`, `B / n` the variance of the means of the halves, `W` the
/// mean of their variances, `n` draws per half (of an odd number of draws the middle one is left
/// out).
///
/// * `chains`: `[chains][draws]` of one quantity.
///
/// # Errors
/// [`Error::Argument`] for no chains, chains of different lengths, fewer than 4 draws, draws that
/// are not finite or all equal.
pub fn split_r_hat<C: AsRef<[f64]>>(chains: &[C]) -> Result<f64> {
    let halves = Halves::of("split R-hat", chains)?;
    match standing(chains).next() {
        Some(_) => Ok(f64::INFINITY),
        None => Ok((halves.marginal / halves.within).sqrt()),
    }
}

/// How many independent draws give the mean of the quantity as exactly as these chains do.
///
/// `m n / tau`, `tau = 1 + 2 sum_t rho_t` over the `m` halves of the chains with `n` draws each;
/// the autocorrelations `rho_t` combine all halves, and the sum ends where Geyer's initial positive
/// sequence of pairs ends, made monotone. At most `m n log10(m n)`, which antithetic chains may
/// reach.
///
/// * `chains`: `[chains][draws]` of one quantity. Cost: draws times the lags that are summed.
///
/// # Errors
/// As [`split_r_hat`], and [`Error::Argument`] if a chain stands still while others move.
pub fn effective_sample_size<C: AsRef<[f64]>>(chains: &[C]) -> Result<f64> {
    let halves = Halves::of("effective sample size", chains)?;
    let still = standing(chains).count();
    if let Some(first) = standing(chains).next()
        && still < chains.len()
    {
        let problem =
            format!("stand still: {still} of {}, the first is {first}; leave them out", chains.len());
        return Err(Error::argument("effective sample size", "the chains", problem));
    }
    let (count, draws) = (halves.chains.len() as f64, halves.chains[0].len());
    let mut sum = 0.0;
    let mut least = f64::INFINITY;
    let mut lag = 0;
    while lag + 1 < draws {
        let pair = halves.correlation(lag) + halves.correlation(lag + 1);
        if pair <= 0.0 {
            break;
        }
        least = least.min(pair);
        sum += least;
        lag += 2;
    }
    let total = count * draws as f64;
    // The sum holds lag 0 once, `tau` counts every other lag twice.
    let tau = (2.0 * sum - 1.0).max(1.0 / total.log10());
    Ok(total / tau)
}

/// Diagnostics of every dimension of one context's chains, from the trace of a sampler. Chains that
/// are not finite are left out and named, and so are those that stand still.
///
/// * `trace`: `[kept, contexts, chains, dims]` in memory order, as `shape` says.
///
/// # Errors
/// [`Error::Shape`] if the trace has not that many numbers, [`Error::Argument`] if there is no such
/// context, fewer than 4 draws are kept, or no chain is finite throughout.
pub fn summarize(trace: &[f32], shape: [usize; 4], context: usize) -> Result<TraceSummary> {
    let [kept, contexts, chains, dims] = shape;
    let wanted = shape.iter().fold(1usize, |product, &size| product.saturating_mul(size));
    if trace.len() != wanted {
        let found = format!("{} values", trace.len());
        let expected = format!("{wanted} for {shape:?}");
        return Err(Error::shape(
            "trace summary",
            "trace",
            found,
            expected,
            "pass the sampler's whole result",
        ));
    }
    if context >= contexts {
        let problem = format!("is {context}; there are {contexts}");
        return Err(Error::argument("trace summary", "the context", problem));
    }
    if kept < FEWEST {
        let problem = format!("keeps {kept} draws of each chain; at least {FEWEST} are needed");
        return Err(Error::argument("trace summary", "the trace", problem));
    }
    let draw = |chain: usize, t: usize, j: usize| {
        f64::from(trace[((t * contexts + context) * chains + chain) * dims + j])
    };
    let series = |chain: usize, j: usize| (0..kept).map(move |t| draw(chain, t, j));
    let is_finite = |&chain: &usize| (0..dims).all(|j| series(chain, j).all(f64::is_finite));
    let (living, lost): (Vec<usize>, Vec<usize>) = (0..chains).partition(is_finite);
    if living.is_empty() {
        let problem = format!("has no chain that is finite throughout, of {chains}");
        return Err(Error::argument("trace summary", "the context", problem));
    }
    let of_dimension = |j: usize| {
        let all: Vec<Vec<f64>> = living.iter().map(|&chain| series(chain, j).collect()).collect();
        let moving: Vec<&Vec<f64>> = all.iter().filter(|chain| !stands_still(chain)).collect();
        let (mean, variance) = moments(&all.concat());
        let summary = Summary { mean, std: variance.sqrt(), r_hat: None, ess: None };
        match moving.is_empty() && variance == 0.0 {
            true => summary,
            false => {
                Summary { r_hat: split_r_hat(&all).ok(), ess: effective_sample_size(&moving).ok(), ..summary }
            }
        }
    };
    let still = |&chain: &usize| (0..dims).all(|j| series(chain, j).all(|y| y == draw(chain, 0, j)));
    let frozen = living.iter().copied().filter(still).collect();
    Ok(TraceSummary { dims: (0..dims).map(of_dimension).collect(), lost, frozen })
}

fn stands_still(chain: &[f64]) -> bool {
    chain.iter().all(|draw| *draw == chain[0])
}

/// The chains that stand still.
fn standing<C: AsRef<[f64]>>(chains: &[C]) -> impl Iterator<Item = usize> {
    chains.iter().enumerate().filter(|(_, chain)| stands_still(chain.as_ref())).map(|(at, _)| at)
}

/// Mean and unbiased variance.
fn moments(values: &[f64]) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    (mean, values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / (count - 1.0))
}

/// The halves of all chains, each around its own mean.
struct Halves {
    chains: Vec<Vec<f64>>,
    /// Mean variance of the halves.
    within: f64,
    /// Estimate of the variance of the quantity from all of them.
    marginal: f64,
}

impl Halves {
    fn of<C: AsRef<[f64]>>(operation: &str, chains: &[C]) -> Result<Self> {
        let fail = |problem: String| Err(Error::argument(operation, "the chains", problem));
        let draws = chains.first().map_or(0, |chain| chain.as_ref().len());
        if draws < FEWEST {
            return fail(format!("have {draws} draws; give at least one chain of {FEWEST}"));
        }
        if let Some(other) = chains.iter().map(|chain| chain.as_ref().len()).find(|&length| length != draws) {
            return fail(format!("have {draws} and {other} draws; give chains of one length"));
        }
        let first = chains[0].as_ref()[0];
        let mut all = chains.iter().flat_map(|chain| chain.as_ref());
        if all.clone().any(|draw| !draw.is_finite()) {
            return fail("hold draws that are not finite".into());
        }
        if all.all(|&draw| draw == first) {
            return fail(format!("stand still at {first}; without variance there is nothing to diagnose"));
        }
        let half = draws / 2;
        let split = |chain: &C| {
            let chain = chain.as_ref();
            [chain[..half].to_vec(), chain[draws - half..].to_vec()]
        };
        let mut chains: Vec<Vec<f64>> = chains.iter().flat_map(split).collect();
        let (means, variances): (Vec<f64>, Vec<f64>) = chains.iter().map(|chain| moments(chain)).unzip();
        let within = variances.iter().sum::<f64>() / variances.len() as f64;
        let marginal = within * (half - 1) as f64 / half as f64 + moments(&means).1;
        if !(marginal > 0.0 && marginal.is_finite()) {
            return fail(format!(
                "have the variance {marginal} in their halves; there is nothing to diagnose"
            ));
        }
        for (chain, mean) in chains.iter_mut().zip(means) {
            chain.iter_mut().for_each(|draw| *draw -= mean);
        }
        Ok(Self { chains, within, marginal })
    }

    /// Autocorrelation at a lag, of all halves together.
    fn correlation(&self, lag: usize) -> f64 {
        if lag == 0 {
            return 1.0;
        }
        let covariance = |chain: &Vec<f64>| {
            chain.iter().zip(&chain[lag..]).map(|(a, b)| a * b).sum::<f64>() / chain.len() as f64
        };
        let mean = self.chains.iter().map(covariance).sum::<f64>() / self.chains.len() as f64;
        1.0 - (self.within - mean) / self.marginal
    }
}

#[cfg(test)]
mod tests;
