//! Safety of the whole gateway on real servers, judged from outside; which statements are tried is in the gate's fixture lists.

#![expect(clippy::print_stderr, reason = "a skipped suite says so, and a run says what it counted")]

mod lists;
mod outside;
mod runaways;
