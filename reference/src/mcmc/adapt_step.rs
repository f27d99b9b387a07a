//! Dual averaging of a step size (`shaders/mcmc/adapt_step.wgsl`).

/// State of the adaptation of a factor on a step size.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tuner {
    /// The factor.
    pub factor: f64,
    /// Average of its logarithms.
    pub log_mean: f64,
    /// Running mean of how far the acceptance is below its target_acceptance.
    pub deficit: f64,
}

/// Hoffman & Gelman 2014, equation 6, at step `t = 1, 2, ..` of `steps`: gamma 0.05, t0 10, kappa
/// 0.75, drawn to ln 10. After the last step the averaged factor holds.
pub fn adapt_step(
    step_adaptation: Tuner,
    acceptance: f64,
    target_acceptance: f64,
    t: usize,
    steps: usize,
) -> Tuner {
    let time = t as f64;
    let fresh = 1.0 / (time + 10.0);
    let deficit = (1.0 - fresh) * step_adaptation.deficit + fresh * (target_acceptance - acceptance);
    let log_factor = 10f64.ln() - time.sqrt() / 0.05 * deficit;
    let weight = time.powf(-0.75);
    let log_mean = weight * log_factor + (1.0 - weight) * step_adaptation.log_mean;
    let chosen = if t == steps { log_mean } else { log_factor };
    Tuner { factor: chosen.exp(), log_mean, deficit }
}
