//! The one place where xtask writes to its terminal; it knows nothing of what is said.

use std::io::Write as _;

/// Writes one line to standard output. A closed pipe is no reason to fail a check, so write errors are dropped.
pub(crate) fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

/// Writes a heading that stands out in a long log.
pub(crate) fn heading(text: &str) {
    line(&format!("\n=== {text}"));
}

/// Writes an error to standard error.
pub(crate) fn error(text: &str) {
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "error: {text}");
}
