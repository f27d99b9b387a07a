//! Floor 3: the file format of runs and models: safetensors with a description of all that the
//! tensors belong to, as JSON in the header's metadata.
//!
//! A description names its format, what kind of file it is, and the models inside with their
//! networks; who writes a file adds what else is needed to use it without anything beside it.
//! Tensors are the unpadded slices of each flat buffer, `<model>.<buffer>.<slice>`.
//!
//! Files are written beside their name, synced and renamed, so that a crash leaves the old file or
//! the new one. A process killed within a write leaves its unfinished file,
//! `<name>.gibbs-<random>.part`; the next save to that name, by whatever process, removes it. A
//! writer keeps its unfinished file locked, which tells it from a leftover. A name that is a
//! symbolic link stays one: the file that it leads to is written.

pub(crate) mod description;
pub(crate) mod machine;
pub(crate) mod part;
mod read;
pub(crate) mod write;

pub use description::{Description, FORMAT, ModelDescription};
pub(crate) use machine::Machine;
pub(crate) use part::Part;
pub(crate) use read::blame;
pub use read::{StoredFile, Weights};
pub(crate) use write::write;
