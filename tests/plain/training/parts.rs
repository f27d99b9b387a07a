//! Checkpoint files, taken apart.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::Value as Json;

/// Header and data of a safetensors file.
#[derive(Clone)]
pub struct Parts {
    pub header: Json,
    pub data: Vec<u8>,
}

impl Parts {
    pub fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).unwrap();
        let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        let header = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
        Self { header, data: bytes[8 + length..].to_vec() }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut header = serde_json::to_vec(&self.header).unwrap();
        while !header.len().is_multiple_of(8) {
            header.push(b' ');
        }
        let length = (header.len() as u64).to_le_bytes();
        [&length[..], &header, &self.data].concat()
    }

    pub fn description(&self) -> Json {
        serde_json::from_str(self.header["__metadata__"]["gibbs"].as_str().unwrap()).unwrap()
    }

    /// The same file with another description.
    pub fn described(&self, change: impl FnOnce(&mut Json)) -> Vec<u8> {
        let mut description = self.description();
        change(&mut description);
        let mut other = self.clone();
        other.header["__metadata__"]["gibbs"] = Json::String(description.to_string());
        other.bytes()
    }

    /// The same file with another header.
    pub fn headed(&self, change: impl FnOnce(&mut Json)) -> Vec<u8> {
        let mut other = self.clone();
        change(&mut other.header);
        other.bytes()
    }

    /// The same file with 4 bytes of a tensor replaced, at its first element.
    pub fn patched(&self, tensor: &str, element: [u8; 4]) -> Vec<u8> {
        let mut other = self.clone();
        let at = self.header[tensor]["data_offsets"][0].as_u64().unwrap() as usize;
        other.data[at..at + 4].copy_from_slice(&element);
        other.bytes()
    }

    /// The same file without a tensor, sound as a safetensors file.
    pub fn without(&self, tensor: &str) -> Vec<u8> {
        let bytes = self.bytes();
        let all = SafeTensors::deserialize(&bytes).unwrap();
        let kept: Vec<_> = all.tensors().into_iter().filter(|(name, _)| name != tensor).collect();
        assert_eq!(kept.len() + 1, all.len(), "no tensor {tensor}");
        let text = self.header["__metadata__"]["gibbs"].as_str().unwrap().to_owned();
        safetensors::serialize(kept, Some([("gibbs".to_owned(), text)].into())).unwrap()
    }
}

pub fn tensors(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(path).unwrap();
    let all = SafeTensors::deserialize(&bytes).unwrap();
    all.tensors().into_iter().map(|(name, view)| (name, view.data().to_vec())).collect()
}

/// Fails unless two checkpoints hold the same tensors bit for bit, and the same description.
#[track_caller]
pub fn assert_same_run(a: &Path, b: &Path) {
    let (left, right) = (tensors(a), tensors(b));
    let (left_names, right_names): (Vec<_>, Vec<_>) = (left.keys().collect(), right.keys().collect());
    assert_eq!(left_names, right_names);
    let different: Vec<_> =
        left.iter().filter(|(name, bytes)| right[*name] != **bytes).map(|(n, _)| n).collect();
    assert!(different.is_empty(), "{} of {} tensors differ: {different:?}", different.len(), left.len());
    assert_eq!(Parts::read(a).description(), Parts::read(b).description());
}

/// Names of the tensors that differ between two checkpoints of one model.
pub fn changed(a: &Path, b: &Path) -> Vec<String> {
    let (left, right) = (tensors(a), tensors(b));
    left.iter().filter(|(name, bytes)| right[*name] != **bytes).map(|(name, _)| name.clone()).collect()
}
