//! Tensors by name: what fills the slots of a plan.

use super::recording::{Recording, Role};
use super::tensor::Tensor;

/// The tensors that fill a plan's named slots.
#[derive(Clone, Debug, Default)]
pub struct Bindings {
    pub(super) entries: Vec<(String, Tensor)>,
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
        self.entries.push((name.into(), tensor.clone()));
    }

    /// Adds all of another set.
    pub fn merge(mut self, other: &Bindings) -> Self {
        for (name, tensor) in &other.entries {
            self.insert(name, tensor);
        }
        self
    }

    /// Those whose names are slots of the recording.
    pub fn only(&self, recording: &Recording) -> Bindings {
        let is_slot = |name: &str| {
            recording.values.iter().any(|info| matches!(info.role, Role::Slot) && info.label == *name)
        };
        Bindings { entries: self.entries.iter().filter(|(name, _)| is_slot(name)).cloned().collect() }
    }

    pub(super) fn get(&self, name: &str) -> Option<&Tensor> {
        self.entries.iter().find(|(known, _)| known == name).map(|(_, tensor)| tensor)
    }
}
