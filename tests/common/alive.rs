//! Signs of life of tests that run for long, past the test runner's capture.

use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use super::say;

/// Between two lines about one test.
const LINES: Duration = Duration::from_secs(10);

/// Tells that something goes on, until dropped.
pub struct Alive {
    _ended: Sender<()>,
}

impl Alive {
    pub fn new(name: &str) -> Self {
        let ((sender, ended), name, begun) = (channel(), name.to_owned(), Instant::now());
        std::thread::spawn(move || {
            while ended.recv_timeout(LINES) == Err(RecvTimeoutError::Timeout) {
                say(&format!("{name}: at work for {:.0} s", begun.elapsed().as_secs_f64()));
            }
        });
        Self { _ended: sender }
    }
}

thread_local! {
    /// The test of this thread. Rust's own runner gives each a thread that bears its name, and ends
    /// the thread with it; the threads of another runner have none.
    static TEST: Option<Alive> = std::thread::current().name().map(Alive::new);
}

/// Tells from here on that the test of this thread goes on.
pub fn watch() {
    TEST.with(|_| ());
}
