//! Stops the running statement through a cancel request; it does not know what the statement was.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use harvest::Interrupt;

use crate::startup::Address;

/// Number of the request to cancel.
const CANCEL_REQUEST: u32 = 80_877_102;
/// Longest wait for the second connection, in milliseconds.
const CANCEL_TIMEOUT_MS: u64 = 1_000;
/// Interrupts of one statement after which its socket is cut: the server does not listen any more.
const INTERRUPTS_MAX: u32 = 10;

/// Shared between a connection and whoever may stop it.
pub(crate) struct CancelHandle {
    address: Address,
    process_id: i32,
    secret: Vec<u8>,
    socket: Option<TcpStream>,
    /// Held while a cancel request is on its way, so that the end of a statement waits for it.
    running: Mutex<bool>,
    interrupted: AtomicBool,
    times: AtomicU32,
}

impl CancelHandle {
    pub(crate) fn new(address: Address, process_id: i32, secret: Vec<u8>, socket: Option<TcpStream>) -> Self {
        Self {
            address,
            process_id,
            secret,
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

    /// The statement is over; says whether a cancel request was sent meanwhile.
    ///
    /// The server may act on a cancel request after the statement's end, so the session must not be used again then.
    pub(crate) fn end(&self) -> bool {
        *self.running.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.times.store(0, Ordering::Release);
        self.interrupted.swap(false, Ordering::AcqRel)
    }

    /// Sends the cancel request; when this returns, the server has acted on it, or cannot be told.
    pub(crate) fn send(&self) {
        // An unreachable server cannot be told; the deadline on the server itself still holds.
        let Ok((mut stream, _)) = self.address.open(Duration::from_millis(CANCEL_TIMEOUT_MS)) else { return };
        let mut request = Vec::with_capacity(16);
        let length = u32::try_from(12 + self.secret.len()).unwrap_or(u32::MAX);
        request.extend_from_slice(&length.to_be_bytes());
        request.extend_from_slice(&CANCEL_REQUEST.to_be_bytes());
        request.extend_from_slice(&self.process_id.to_be_bytes());
        request.extend_from_slice(&self.secret);
        if stream.write_all(&request).and_then(|()| stream.flush()).is_ok() {
            // The server closes the connection once the signal is out.
            let _ = stream.read(&mut [0; 16]);
        }
    }
}

impl Interrupt for CancelHandle {
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
