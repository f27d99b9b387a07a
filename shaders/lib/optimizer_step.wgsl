// An optimizer step on its way from prepare_step.wgsl to adam.wgsl and finish_step.wgsl, and its
// schedule.

// The schedule of step t, for t = 1, 2, ..
// Shared with the host.
struct ScheduleRow {
    rate: f32,
    first_correction: f32, // 1 / (1 - beta1^t)
    second_correction: f32, // 1 / (1 - beta2^t)
    average_decay: f32,
}

// Shared with the host.
struct OptimizerStep {
    norm: f32, // of the gradient, before clipping
    clip: f32, // factor on the gradient
    go: f32, // 1, or 0 where the step is called off
    schedule: ScheduleRow,
    mean_loss: f32, // of the watched losses, 0 if one is bad
    bad_loss: f32, // 1 if one is bad
}
