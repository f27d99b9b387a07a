//! Wrong input: each mistake gives one clear [`gibbs::Error`] that says what and where, and never a
//! panic.

mod dispatches;
mod environment;
mod expectation;
mod names;
mod recordings;
mod samplers;
mod shaders;
mod tensors;
mod training;
