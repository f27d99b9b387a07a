//! Ctrl-C and the request to end, while a run could be saved.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gibbs::train::StopFlag;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag::{register, register_conditional_shutdown, register_usize};

/// Until a signal is answered.
const ANSWER: Duration = Duration::from_millis(100);

#[derive(Debug, Default)]
struct Signals {
    stop: Arc<AtomicBool>,
    /// Whether the next signal ends the process on the spot.
    at_once: Arc<AtomicBool>,
    /// The signal that came last.
    signal: Arc<AtomicUsize>,
}

static SIGNALS: OnceLock<Signals> = OnceLock::new();

impl Signals {
    fn install() -> Self {
        let signals = Self::default();
        for signal in [SIGINT, SIGTERM] {
            // They take place in this order.
            let installed = register_conditional_shutdown(signal, 128 + signal, signals.at_once.clone())
                .and_then(|_| register(signal, signals.at_once.clone()))
                .and_then(|_| register_usize(signal, signals.signal.clone(), signal as usize))
                .and_then(|_| register(signal, signals.stop.clone()));
            if let Err(error) = installed {
                eprintln!("a signal will end this run without a checkpoint: {error}");
            }
        }
        signals
    }
}

/// From here to the end of this value, the first signal raises the flag, and a second one ends the
/// process. Later, and before, the first one does.
pub struct Watched {
    signals: &'static Signals,
    /// Ends the thread that answers the first signal: steps under way may take a while.
    _ended: Sender<()>,
}

pub fn watch() -> Watched {
    let signals = SIGNALS.get_or_init(Signals::install);
    signals.at_once.store(false, Ordering::SeqCst);
    let (sender, ended) = channel();
    std::thread::spawn(move || {
        while ended.recv_timeout(ANSWER) == Err(RecvTimeoutError::Timeout) {
            if signals.stop.load(Ordering::SeqCst) {
                eprintln!("stopping when the steps under way are done; a second signal ends this at once");
                break;
            }
        }
    });
    Watched { signals, _ended: sender }
}

impl Watched {
    pub fn flag(&self) -> StopFlag {
        self.signals.stop.clone().into()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.signals.at_once.store(true, Ordering::SeqCst);
    }
}

/// What a process ends with that a signal has stopped: 130 after Ctrl-C, 143 after SIGTERM.
pub fn exit_code() -> Option<u8> {
    match SIGNALS.get()?.signal.load(Ordering::SeqCst) {
        0 => None,
        signal => u8::try_from(128 + signal).ok(),
    }
}
