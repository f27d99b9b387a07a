//! References of `shaders/train/`: batches.

pub mod draw_batch;

pub use draw_batch::draw_batch;
