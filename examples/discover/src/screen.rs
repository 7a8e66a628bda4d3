//! What the terminal shows: lines, and one line that progress overwrites; it measures nothing.

use std::io::{IsTerminal as _, Write as _};

/// One line on standard error, where progress goes too.
pub(crate) fn say(line: &str) {
    let mut out = std::io::stderr().lock();
    let clear = if out.is_terminal() { "\r\x1b[K" } else { "" };
    let _ = writeln!(out, "{clear}{}", shown(line));
}

/// A line that the next one overwrites; on anything but a terminal it is a line of its own.
pub(crate) fn progress(line: &str) {
    let mut out = std::io::stderr().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r\x1b[K{}", shown(line));
        let _ = out.flush();
    } else {
        let _ = writeln!(out, "{}", shown(line));
    }
}

/// Names of the database may hold control characters; the terminal gets none.
fn shown(line: &str) -> String {
    line.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}
