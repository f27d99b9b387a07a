//! Files that are whole or not there.

use std::path::Path;

use serde::Serialize;

/// Writes beside the file and renames: a run that is killed leaves the old file or the new one.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    std::fs::write(&beside, text)?;
    std::fs::rename(beside, path)
}

/// The same for a value as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    write_whole(path, &(serde_json::to_string_pretty(value)? + "\n"))
}
