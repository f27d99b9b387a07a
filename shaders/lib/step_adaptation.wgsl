// The factor on a sampler's step sizes and the state of its adaptation (dual averaging, see
// adapt_step.wgsl).

// Shared with the host.
struct StepAdaptation {
    factor: f32,
    log_mean: f32, // running mean of log factor
    deficit: f32, // running mean of target - acceptance
    acceptance: f32, // mean acceptance probability of the last step
}
