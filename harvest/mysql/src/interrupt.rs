//! Stops the running statement with KILL QUERY over a connection of its own; it does not know what the statement was.

use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harvest::Interrupt;

use crate::session::Session;
use crate::startup::Address;

/// Longest wait for the second connection and its answer, in milliseconds.
const KILL_TIMEOUT_MS: u64 = 1_000;
/// Interrupts of one statement after which its socket is cut: the server does not listen any more.
const INTERRUPTS_MAX: u32 = 10;

/// Shared between a connection and whoever may stop it.
pub(crate) struct KillHandle {
    address: Address,
    connection_id: u32,
    socket: Option<TcpStream>,
    /// Held while a KILL is on its way, so that the end of a statement waits for it.
    running: Mutex<bool>,
    interrupted: AtomicBool,
    times: AtomicU32,
}

impl KillHandle {
    pub(crate) fn new(address: Address, connection_id: u32, socket: Option<TcpStream>) -> Self {
        Self {
            address,
            connection_id,
            socket,
            running: Mutex::new(false),
            interrupted: AtomicBool::new(false),
            times: AtomicU32::new(0),
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
        self.times.store(0, Ordering::Release);
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Sends KILL QUERY; when this returns, the server has acted on it, or cannot be told.
    pub(crate) fn send(&self) {
        // An unreachable server cannot be told; the limit on the server itself still holds.
        let timeout = Duration::from_millis(KILL_TIMEOUT_MS);
        let Ok(opened) = self.address.open_within(timeout) else { return };
        let mut session = Session::new(opened.wire);
        if session.wire.stream().set_timeouts(timeout, timeout).is_ok() {
            let _ = session.run(&format!("KILL QUERY {}", self.connection_id));
        }
    }
}

impl Interrupt for KillHandle {
    fn interrupt(&self) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if *running {
            self.interrupted.store(true, Ordering::Release);
            if self.times.fetch_add(1, Ordering::AcqRel) >= INTERRUPTS_MAX
                && let Some(socket) = &self.socket
            {
                let _ = socket.shutdown(Shutdown::Both);
                return;
            }
            self.send();
        }
    }
}
