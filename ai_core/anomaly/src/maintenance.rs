//! The one background thread: similarity search and periodic snapshots; checks never wait for it.

use crate::detector::Detector;
use crate::similarity::ThreatEmbedder;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::RecvTimeoutError;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const SAVE_EVERY: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(100);

/// A running maintenance thread; stops, with a last snapshot, when dropped.
#[derive(Debug)]
pub struct Maintenance {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Maintenance {
    /// Starts the thread; `None` if the detector has one already.
    ///
    /// # Errors
    /// The operating system gives no thread.
    pub fn start(
        detector: Arc<Detector>,
        embedder: Box<dyn ThreatEmbedder>,
        snapshot: Option<PathBuf>,
    ) -> std::io::Result<Option<Self>> {
        let Some(queue) = detector.take_queue() else { return Ok(None) };
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new().name("anomaly".into()).spawn(move || {
            let mut saved = Instant::now();
            loop {
                match queue.recv_timeout(POLL) {
                    Ok(novel) => detector.search_similar(&novel, embedder.as_ref()),
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => break,
                }
                let ends = stopped.load(Ordering::Acquire);
                if ends || saved.elapsed() >= SAVE_EVERY {
                    saved = Instant::now();
                    if let Some(path) = &snapshot {
                        // A failed save leaves the last good file and shows in the counts.
                        let saved = detector.save(path);
                        let count = if saved.is_ok() { &detector.saves } else { &detector.saves_failed };
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                }
                if ends {
                    break;
                }
            }
            detector.return_queue(queue);
        })?;
        Ok(Some(Self { stop, thread: Some(thread) }))
    }
}

impl Drop for Maintenance {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            _ = thread.join();
        }
    }
}
