//! Stops the running statement through a cancel request; it does not know what the statement was.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use harvest::Interrupt;
use postgres::{CancelToken, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Shared between a connection and whoever may stop it.
pub(crate) struct CancelHandle {
    token: CancelToken,
    tls: Option<Arc<MakeRustlsConnect>>,
    /// Held while a cancel request is on its way, so that the end of a statement waits for it.
    running: Mutex<bool>,
    interrupted: AtomicBool,
}

impl CancelHandle {
    pub(crate) fn new(token: CancelToken, tls: Option<Arc<MakeRustlsConnect>>) -> Self {
        Self { token, tls, running: Mutex::new(false), interrupted: AtomicBool::new(false) }
    }

    /// A statement begins.
    pub(crate) fn begin(&self) {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// The statement is over; says whether a cancel request was sent meanwhile.
    ///
    /// The server may act on a cancel request after the statement's end, so the session must not be used again then.
    pub(crate) fn end(&self) -> bool {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Sends the cancel request.
    pub(crate) fn send(&self) {
        // An unreachable server cannot be told; the deadline on the server itself still holds.
        let _ = match &self.tls {
            Some(tls) => self.token.cancel_query((**tls).clone()),
            None => self.token.cancel_query(NoTls),
        };
    }
}

impl Interrupt for CancelHandle {
    fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            self.interrupted.store(true, Ordering::Release);
            self.send();
        }
    }
}
