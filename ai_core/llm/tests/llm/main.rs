//! Tests of the whole crate against small servers of their own; nothing leaves the machine.

#![expect(clippy::unwrap_used, reason = "helpers of tests: a panic is how a test fails")]

mod bridge;
mod faults;
mod pool;
mod robust;
mod server;
mod service;
mod streams;
mod variables;
