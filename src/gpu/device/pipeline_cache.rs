//! The driver's compiled pipelines, kept in a file between runs.

use std::path::{Path, PathBuf};

use super::whole_file::write_whole;
use crate::{Error, Result};

/// Larger files are not read: no cache of ours comes near it.
const MAX_BYTES: u64 = 256 << 20;

/// A cache of a device that all its pipelines are built with.
#[derive(Debug)]
pub(in crate::gpu) struct PipelineCache {
    cache: wgpu::PipelineCache,
    file: PathBuf,
}

impl PipelineCache {
    /// The cache of an adapter in a folder, filled from its file if there is one. None where the
    /// backend keeps no such data.
    ///
    /// # Errors
    /// [`Error::Io`] if the folder cannot be made.
    pub(in crate::gpu) fn open(
        device: &wgpu::Device,
        info: &wgpu::AdapterInfo,
        folder: &Path,
    ) -> Result<Option<Self>> {
        let Some(key) = wgpu::util::pipeline_cache_key(info) else { return Ok(None) };
        let operation = "keep compiled pipelines";
        std::fs::create_dir_all(folder).map_err(|source| Error::Io {
            operation,
            path: folder.into(),
            source,
        })?;
        let file = folder.join(key);
        let short = std::fs::metadata(&file).is_ok_and(|data| data.len() <= MAX_BYTES);
        let data = if short { std::fs::read(&file).ok() } else { None };
        let descriptor = wgpu::PipelineCacheDescriptor {
            label: Some("gibbs"),
            data: data.as_deref(),
            // Data of another driver or version count as none.
            fallback: true,
        };
        // SAFETY: the file was written by `save`, as a whole or not at all, from the same call's
        // counterpart; its name and its header, which wgpu and the driver check, tell device and
        // driver.
        let cache = unsafe { device.create_pipeline_cache(&descriptor) };
        Ok(Some(Self { cache, file }))
    }

    pub(in crate::gpu) fn cache(&self) -> &wgpu::PipelineCache {
        &self.cache
    }

    /// Writes what the driver has compiled so far.
    pub(in crate::gpu) fn save(&self) -> Result<()> {
        match self.cache.get_data() {
            Some(data) => write_whole(&self.file, &data),
            None => Ok(()),
        }
    }
}
