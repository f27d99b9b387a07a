//! Wrong input: each mistake gives one clear [`gibbs::Error`] that says what and where, and never a panic.

mod common;

#[path = "errors/dispatches.rs"]
mod dispatches;
#[path = "errors/expectation.rs"]
mod expectation;
#[path = "errors/recordings.rs"]
mod recordings;
#[path = "errors/samplers.rs"]
mod samplers;
#[path = "errors/shaders.rs"]
mod shaders;
#[path = "errors/tensors.rs"]
mod tensors;
#[path = "errors/training.rs"]
mod training;
