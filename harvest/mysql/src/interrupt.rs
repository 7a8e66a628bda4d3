//! Stops the running statement with KILL QUERY over a connection of its own; it does not know what the statement was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harvest::Interrupt;
use mysql::prelude::Queryable;
use mysql::{Conn, Opts, OptsBuilder};

/// Longest wait for the second connection and its answer, in milliseconds.
const KILL_TIMEOUT_MS: u64 = 1_000;

/// Shared between a connection and whoever may stop it.
pub(crate) struct KillHandle {
    opts: Opts,
    connection_id: u32,
    /// Held while a KILL is on its way, so that the end of a statement waits for it.
    running: Mutex<bool>,
    interrupted: AtomicBool,
}

impl KillHandle {
    pub(crate) fn new(opts: Opts, connection_id: u32) -> Self {
        let timeout = Some(Duration::from_millis(KILL_TIMEOUT_MS));
        let opts = OptsBuilder::from_opts(opts)
            .tcp_connect_timeout(timeout)
            .read_timeout(timeout)
            .write_timeout(timeout);
        Self {
            opts: opts.into(),
            connection_id,
            running: Mutex::new(false),
            interrupted: AtomicBool::new(false),
        }
    }

    /// A statement begins.
    pub(crate) fn begin(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// The statement is over; says whether a KILL was sent meanwhile.
    ///
    /// A KILL that comes after the statement's end stops the next one, so the session must not be used again then.
    pub(crate) fn end(&self) -> bool {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Sends KILL QUERY.
    pub(crate) fn send(&self) {
        // An unreachable server cannot be told; the limit on the server itself still holds.
        if let Ok(mut conn) = Conn::new(self.opts.clone()) {
            let _ = conn.query_drop(format!("KILL QUERY {}", self.connection_id));
        }
    }

    /// Remembers that the session was told to stop.
    pub(crate) fn mark(&self) {
        self.interrupted.store(true, Ordering::Release);
    }
}

impl Interrupt for KillHandle {
    fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            self.mark();
            self.send();
        }
    }
}
