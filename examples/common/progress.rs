//! Signs of life: a bar in a terminal, elsewhere a line every few seconds; and the metrics stream.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};
use serde::Serialize;

use super::files::failed;

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

/// What a program is at, until dropped.
pub struct Progress {
    bar: ProgressBar,
    stream: Option<(File, PathBuf)>,
}

impl Progress {
    /// Work that consists of `total` steps.
    pub fn new(name: &str, total: u64) -> Self {
        let style = "{prefix} [{bar:28}] {pos}/{len}, {per_sec}, {eta} left, {msg}";
        Self::of(ProgressBar::new(total).with_finish(ProgressFinish::Abandon), name, style)
    }

    /// Work of unknown length.
    pub fn busy(name: &str) -> Self {
        let bar = ProgressBar::no_length().with_finish(ProgressFinish::AndClear);
        Self::of(bar, name, "{spinner} {prefix}, {elapsed}")
    }

    fn of(bar: ProgressBar, name: &str, style: &str) -> Self {
        let style = ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = bar.with_prefix(name.to_owned()).with_style(style.progress_chars("=> "));
        // A tick is work too: few of them beside what is measured.
        bar.enable_steady_tick(Duration::from_secs(1));
        if bar.is_hidden() {
            let bar = bar.downgrade();
            std::thread::spawn(move || {
                loop {
                    std::thread::sleep(LINES);
                    let Some(bar) = bar.upgrade() else { break };
                    eprintln!("{}", line(&bar));
                }
            });
        }
        Self { bar, stream: None }
    }

    /// Where [`Progress::write`] writes, behind what is there.
    pub fn stream_to(&mut self, path: &Path) -> gibbs::Result<()> {
        let file = File::options().create(true).append(true).open(path);
        self.stream = Some((file.map_err(failed("open", path))?, path.to_owned()));
        Ok(())
    }

    /// Adds lines of JSON to the stream. The work goes on where that fails.
    pub fn write<T: Serialize>(&mut self, values: impl IntoIterator<Item = T>) {
        let Some((stream, path)) = &mut self.stream else { return };
        let lines = values.into_iter().map(|value| Ok(serde_json::to_string(&value)? + "\n"));
        let text = lines.collect::<std::io::Result<String>>();
        if let Err(error) = text.and_then(|text| stream.write_all(text.as_bytes())) {
            let words = format!("write {}: {error}", path.display());
            self.say(&words);
        }
    }

    /// Stands at a step, with words about it.
    pub fn set(&self, position: u64, words: String) {
        self.bar.set_position(position);
        self.bar.set_message(words);
    }

    /// A line above the bar.
    pub fn say(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.bar.is_hidden() {
            eprintln!("{}", line(&self.bar));
        }
    }
}

/// What the bar would show.
fn line(bar: &ProgressBar) -> String {
    let of = bar.length().map_or(String::new(), |length| format!("{} of {length}, ", bar.position()));
    let text = format!("{}: {of}{:.0} s {}", bar.prefix(), bar.elapsed().as_secs_f64(), bar.message());
    text.trim_end().to_owned()
}
