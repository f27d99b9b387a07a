//! What a file says of itself.

use std::collections::HashMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::nn::Network;

/// Version of the layout of files.
pub const FORMAT: u32 = 3;

/// Key of the description in the header's metadata.
pub(super) const KEY: &str = "gibbs";

/// Longest header that is read or written: networks with many frequencies take a megabyte.
pub(super) const MAX_HEADER: u64 = 1 << 23;

/// A model of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelDescription {
    /// Its name, the first part of its tensors' names.
    pub name: String,
    /// Its network, normalizers included.
    pub network: Network,
    /// Whether the state of an optimizer and averaged weights stand beside the parameters. Without
    /// them the parameters are those that whoever packed the file chose.
    pub trained: bool,
}

/// What a file says of itself: its kind, its models, and what its writer added.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// Version of the file's layout, [`FORMAT`].
    pub format: u32,
    /// What the file holds: `ranking_nce`, `score` or `intermediate_energy` for runs.
    pub kind: String,
    /// The models inside.
    pub models: Vec<ModelDescription>,
    /// Whatever else the writer of this kind of file needs.
    #[serde(flatten)]
    more: Map<String, Json>,
}

/// The part of a description that says how to read the rest.
#[derive(Debug, Deserialize)]
struct Version {
    format: u32,
}

/// The part of a safetensors header that is not about tensors.
#[derive(Debug, Deserialize)]
struct Header {
    #[serde(default, rename = "__metadata__")]
    metadata: HashMap<String, String>,
}

impl Description {
    pub(super) fn new(kind: &str, models: Vec<ModelDescription>, more: Map<String, Json>) -> Self {
        Self { format: FORMAT, kind: kind.into(), models, more }
    }

    /// Reads the header of a file; tensors are passed over.
    pub(super) fn parse(header: &[u8]) -> Result<Self, String> {
        let header: Header =
            serde_json::from_slice(header).map_err(|error| format!("its header: {error}"))?;
        let text =
            header.metadata.get(KEY).ok_or("has no gibbs description; it is some other safetensors file")?;
        let fail = |error: serde_json::Error| format!("its description: {error}");
        // Before the rest, which another format may describe otherwise.
        let version: Version = serde_json::from_str(text).map_err(fail)?;
        match version.format {
            FORMAT => serde_json::from_str(text).map_err(fail),
            older @ 1..FORMAT => Err(format!(
                "has format {older}, this version reads {FORMAT}; finish the run with the version of gibbs that wrote \
                 it, or train again"
            )),
            other => Err(format!("has format {other}, this version reads {FORMAT}")),
        }
    }

    /// A model by its name.
    pub fn model(&self, name: &str) -> Option<&ModelDescription> {
        self.models.iter().find(|model| model.name == name)
    }

    /// What the writer of the file added under a name.
    ///
    /// # Errors
    /// What is wrong with it, in words, if it is missing or something else.
    pub(crate) fn field<T: DeserializeOwned>(&self, name: &str) -> Result<T, String> {
        let value = self.more.get(name).ok_or_else(|| format!("its description has no `{name}`"))?;
        T::deserialize(value).map_err(|error| format!("its description: `{name}`: {error}"))
    }

    /// What the writer of the file added under a name; nothing where a file, as one of an earlier
    /// version, does not know it.
    ///
    /// # Errors
    /// What is wrong with it, in words, if it is something else.
    pub(crate) fn known_field<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, String> {
        self.more.contains_key(name).then(|| self.field(name)).transpose()
    }

    /// Everything that the writer of the file added.
    ///
    /// # Errors
    /// As [`Description::field`].
    pub(crate) fn fields<T: DeserializeOwned>(&self) -> Result<T, String> {
        T::deserialize(Json::Object(self.more.clone())).map_err(|error| format!("its description: {error}"))
    }

    /// Fails unless the file is of one of these kinds.
    pub(crate) fn expect_kind(&self, known: &[&str]) -> Result<(), String> {
        match known.contains(&self.kind.as_str()) {
            true => Ok(()),
            false => Err(format!(
                "is of the kind `{}`; what is asked for is in files of the kind `{}`",
                self.kind,
                known.join("` or `")
            )),
        }
    }
}
