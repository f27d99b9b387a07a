//! Files that are there as a whole or not at all.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::{Error, Result};

/// Removes the unfinished files of processes that are gone. A file that stays only costs space, so
/// errors do not count.
fn remove_leftovers(folder: &Path, path: &Path, own: &Path) {
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return };
    let process_of = |file: &str| {
        let number = file.strip_prefix(name)?.strip_prefix('.')?.strip_suffix(".part")?;
        number.split('.').next()?.parse::<u32>().ok()
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if let Some(process) = entry.file_name().to_str().and_then(process_of)
            && entry.path() != own
            && is_stale(&entry.path(), process)
        {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Whether the process that wrote a file is gone; where the system does not tell, whether the file
/// is older than any write takes.
fn is_stale(file: &Path, process: u32) -> bool {
    let processes = Path::new("/proc");
    if processes.join("self").exists() {
        return !processes.join(process.to_string()).exists();
    }
    let written = std::fs::metadata(file).and_then(|data| data.modified());
    written.is_ok_and(|time| time.elapsed().is_ok_and(|age| age > Duration::from_secs(3600)))
}

/// Writes a whole file or nothing: a temporary file in the same folder, synced, renamed over the
/// old one, folder synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<()> {
    let io = |operation, source| Error::Io { operation, path: path.into(), source };
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    // Two threads that save to one path must not write into one file.
    static NEXT: AtomicU64 = AtomicU64::new(0);
    name.push(format!(".{}.{}.part", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    let temporary = folder.join(name);
    remove_leftovers(folder, path, &temporary);
    let written = (|| {
        let mut file = File::create_new(&temporary).map_err(|error| io("create", error))?;
        file.write_all(bytes).map_err(|error| io("write", error))?;
        file.sync_all().map_err(|error| io("sync", error))?;
        std::fs::rename(&temporary, path).map_err(|error| io("rename", error))
    })();
    if written.is_err() {
        // The first error is what counts; a left-over temporary file only costs space.
        let _ = std::fs::remove_file(&temporary);
        return written;
    }
    #[cfg(unix)]
    File::open(folder).and_then(|folder| folder.sync_all()).map_err(|error| io("sync", error))?;
    Ok(())
}
