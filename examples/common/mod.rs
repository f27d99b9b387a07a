//! What the examples share: the command line, training, progress, pictures and files.
#![allow(dead_code, reason = "each example uses its own part of this module")]

pub mod arguments;
pub mod checkpoints;
pub mod files;
pub mod intervals;
pub mod pictures;
pub mod progress;
pub mod signals;
pub mod training;
