//! The shape of the source tree: who may use whom, which files belong together, which random
//! streams there are.

mod kernels;
mod rooms;
mod source;
mod streams;

pub use source::files;
