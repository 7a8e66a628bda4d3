//! Rules for every text file: no blanks at line ends, a line end at the end, no words of one machine.

use super::{Report, Source};

/// Paths of one machine and names of papers outside the repository. Split so that this file does not find itself.
const MACHINE_WORDS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("shared/", "spec"),
    concat!("shared/", "data"),
    concat!(".lib", "rary/"),
];

/// Endings whose blanks at line ends may be part of what they record.
const RECORDED: &[&str] = &[".snap", ".json", ".jsonl", ".txt", ".sql"];

pub(super) fn check(source: &Source<'_>, report: &mut Report) {
    let path = source.path;
    let is_recorded = RECORDED.iter().any(|ending| path.ends_with(ending));
    for (number, line) in source.text.lines().enumerate() {
        let number = number + 1;
        if !is_recorded && line.ends_with([' ', '\t']) {
            report.findings.push(format!("{path}:{number}: blanks at the end of the line"));
        }
        if is_recorded {
            continue;
        }
        for word in MACHINE_WORDS {
            if line.contains(word) {
                report
                    .findings
                    .push(format!("{path}:{number}: `{word}` means something on one machine only"));
            }
        }
    }
    if !is_recorded && !source.text.is_empty() && !source.text.ends_with('\n') {
        report.findings.push(format!("{path}: no line end at the end of the file"));
    }
}
