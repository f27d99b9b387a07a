//! Tensors by name: what fills the slots of a plan.

use super::recording::{Recording, Role};
use super::tensor::Tensor;
use crate::{Error, Result};

/// The tensors that fill a plan's named slots.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    pub(super) entries: Vec<(String, Tensor)>,
    /// Names that were merged with two tensors.
    clashes: Vec<String>,
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

    /// Adds all of another set. A name that stands for different tensors in the two sets, as when two models are called
    /// alike, is refused by [`Recording::compile`] and [`super::Plan::encode`].
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

    /// Refuses a name that was merged with two tensors.
    pub(super) fn check(&self, operation: impl FnOnce() -> String) -> Result<()> {
        match self.clashes.first() {
            None => Ok(()),
            Some(name) => {
                let problem = "has two tensors; give models that meet in one recording names of their own (`Model::renamed`)";
                Err(Error::argument(operation(), format!("binding `{name}`"), problem))
            }
        }
    }

    /// Those whose names are slots of the recording.
    pub fn only(&self, recording: &Recording) -> Bindings {
        let is_slot = |name: &str| {
            recording.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name)
        };
        Bindings {
            entries: self.entries.iter().filter(|(name, _)| is_slot(name)).cloned().collect(),
            clashes: self.clashes.iter().filter(|name| is_slot(name)).cloned().collect(),
        }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }
}
