//! Tests of the whole crate against small servers of their own; nothing leaves the machine.

mod bridge;
mod faults;
mod pool;
mod server;
mod streams;
