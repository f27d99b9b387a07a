//! How files name the modules of a network.

/// How a `state_dict` names the modules of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub(super) prefix: String,
    pub(super) scheme: Scheme,
    ignored: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scheme {
    Sequential,
    Modules(Vec<String>),
}

impl Names {
    /// As `torch.nn.Sequential` counts: every layer and every activation is a module. Residual
    /// blocks are not modules of PyTorch's, and layers of inputs are no part of a `Sequential`;
    /// networks with them want [`Names::modules`]. Where a file's numbers leave room for further
    /// modules without parameters between those of the network, such as dropout, they are taken as
    /// they are. `prefix` is what stands in front of the numbers,
    /// dot included (`"net."`); empty when the model is the `Sequential` itself. Tensors whose
    /// names do not begin with it belong to somebody else and are left alone.
    pub fn sequential(prefix: &str) -> Self {
        Self { prefix: prefix.into(), scheme: Scheme::Sequential, ignored: Vec::new() }
    }

    /// One module name for each layer that has parameters, those of the inputs first, in the order
    /// of the inputs, then the network's own, always in order and with those in residual blocks,
    /// each behind `prefix` as in [`Names::sequential`]; a norm that has none there counts as well,
    /// under any name:
    /// `Names::modules("", ["fc1", "fc2", "head"])`.
    pub fn modules<S: Into<String>>(prefix: &str, names: impl IntoIterator<Item = S>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self { prefix: prefix.into(), scheme: Scheme::Modules(names), ignored: Vec::new() }
    }

    /// The same, with tensors behind the prefix that the network does not have passed over: those
    /// of whose names any part between dots is one of these (`["running_mean", "critic"]`). The
    /// counters `num_batches_tracked` always are.
    #[must_use]
    pub fn ignoring<S: Into<String>>(mut self, parts: impl IntoIterator<Item = S>) -> Self {
        self.ignored.extend(parts.into_iter().map(Into::into));
        self
    }

    /// Whether a tensor is somebody else's.
    pub(super) fn ignores(&self, name: &str) -> bool {
        let Some(own) = name.strip_prefix(&self.prefix) else { return true };
        own.split('.')
            .any(|part| part == "num_batches_tracked" || self.ignored.iter().any(|known| known == part))
    }
}
