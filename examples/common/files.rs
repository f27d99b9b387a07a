//! Files that are whole or not there, and folders that one process at a time writes to.

use std::error::Error;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use fs4::{FileExt, TryLockError};
use serde::Serialize;

/// Writes beside the file and renames: a run that is killed leaves the old file or the new one.
pub fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    // A link stays one.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let mut file = File::create(&beside)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    std::fs::rename(beside, path)
}

/// The same for a value as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> std::io::Result<()> {
    write_whole(path, &(serde_json::to_string_pretty(value)? + "\n"))
}

/// Keeps other runs out of a folder while the lock is kept. The system takes it away with the
/// process, however that ends.
///
/// # Errors
/// The process that has the folder, in words.
pub fn lock(folder: &Path) -> Result<File, Box<dyn Error>> {
    let path = folder.join(".lock");
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path)?;
    match FileExt::try_lock(&file) {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let mut holder = String::new();
            // Windows lets nobody read what is locked; then it has no name.
            let _ = file.read_to_string(&mut holder);
            let holder = if holder.is_empty() { "another process" } else { holder.trim() };
            let way_out = "wait until it is done, or give another folder with --out";
            return Err(format!("{holder} writes to {} already; {way_out}", folder.display()).into());
        }
        Err(TryLockError::Error(error)) => {
            eprintln!("{} cannot be locked ({error}); let no second run write to it", folder.display());
        }
    }
    let program = std::env::args().next().unwrap_or_default();
    // Only words for others: a full disk is told by files that matter.
    let _ = file.set_len(0).and_then(|()| writeln!(file, "process {} ({program})", std::process::id()));
    Ok(file)
}
