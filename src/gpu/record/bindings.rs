//! Tensors by name: what fills the slots of a plan.

use crate::gpu::device::tensor::Tensor;
use crate::{Error, Result};

/// The tensors that fill a plan's named slots.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    pub(in crate::gpu) entries: Vec<(String, Tensor)>,
    /// Names that were merged with two tensors.
    pub(in crate::gpu) clashes: Vec<String>,
}

impl Bindings {
    /// No tensor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a tensor for the slot `name`; the last one given for a name counts.
    pub fn with(mut self, name: &str, tensor: &Tensor) -> Self {
        self.insert(name, tensor);
        self
    }

    /// As [`Bindings::with`], in place.
    pub fn insert(&mut self, name: &str, tensor: &Tensor) {
        self.entries.retain(|(known, _)| known != name);
        self.clashes.retain(|known| known != name);
        self.entries.push((name.into(), tensor.clone()));
    }

    /// Adds all of another set. A name that stands for different tensors in the two sets, as when
    /// two models are called alike, is refused by [`crate::gpu::Recording::compile`] and
    /// [`crate::gpu::Plan::encode`].
    pub fn merge(mut self, other: &Bindings) -> Self {
        for (name, tensor) in &other.entries {
            match self.get(name) {
                None => self.entries.push((name.clone(), tensor.clone())),
                Some(known) if known.is_same_memory(tensor) => {}
                Some(_) => self.clashes.push(name.clone()),
            }
        }
        self.clashes.extend_from_slice(&other.clashes);
        self
    }

    /// Puts the tensors of another set in place of those of the same name, clashes included.
    pub(in crate::gpu) fn replace_with(&mut self, other: &Bindings) {
        for (name, tensor) in &other.entries {
            self.insert(name, tensor);
        }
        self.clashes.extend_from_slice(&other.clashes);
    }

    /// Refuses a name that was merged with two tensors.
    pub(in crate::gpu) fn check(&self, operation: impl FnOnce() -> String) -> Result<()> {
        match self.clashes.first() {
            None => Ok(()),
            Some(name) => {
                let problem = "has two tensors; give models that meet in one recording names of their own (`Model::renamed`)";
                Err(Error::argument(operation(), format!("binding `{name}`"), problem))
            }
        }
    }

    pub(in crate::gpu) fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }
}
