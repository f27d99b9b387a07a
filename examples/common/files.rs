//! Files that are whole or not there, folders that one process at a time writes to, and errors that
//! say which file and what was being done.

use std::fs::File;
use std::io;
use std::io::{Read, Write};
use std::path::Path;

use fs4::{FileExt, TryLockError};
use gibbs::{Error, Result};
use serde::Serialize;

/// Puts the file and what was being done with it into the system's error.
pub fn failed(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { operation, path, source }
}

/// Makes a folder and those it lies in.
pub fn make_folder(path: &Path) -> Result<()> {
    std::fs::create_dir_all(path).map_err(failed("make the folder", path))
}

/// Makes the folder that a file lies in.
pub fn make_folder_of(file: &Path) -> Result<()> {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or(Ok(()), make_folder)
}

/// Writes beside the file and renames: a run that is killed leaves the old file or the new one.
pub fn write_whole(path: &Path, text: &str) -> Result<()> {
    // A link stays one.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.into());
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let beside = path.with_file_name(name);
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text.as_bytes())?;
        file.sync_all()
    });
    written.map_err(failed("write", path))?;
    std::fs::rename(beside, path).map_err(failed("rename to", path))
}

/// The same for a value as indented JSON.
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value).map_err(io::Error::from);
    write_whole(path, &(text.map_err(failed("write", path))? + "\n"))
}

/// The text of a file; nothing where there is none.
pub fn read_if_there(path: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        other => other.map(Some).map_err(failed("read", path)),
    }
}

/// Keeps other runs out of a folder while the lock is kept. The system takes it away with the
/// process, however that ends.
///
/// # Errors
/// The process that has the folder, in words.
pub fn lock(folder: &Path) -> Result<File, Box<dyn std::error::Error>> {
    let path = folder.join(".lock");
    let opened = File::options().read(true).write(true).create(true).truncate(false).open(&path);
    let mut file = opened.map_err(failed("lock", &path))?;
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
