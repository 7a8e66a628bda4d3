//! House rules for Rust files that neither rustc nor clippy checks; it leaves formatting to rustfmt.

use super::{Report, Source};

const LINES_MAX: usize = 700;
const LINES_WANTED_MAX: usize = 400;
const FUNCTION_LINES_WANTED_MAX: usize = 70;

/// Modules that may be public, because their items are read with the module's name in front: the fakes and suites that
/// other crates' tests share, and the door from async to blocking.
const PUBLIC_MODULES: &[&str] = &["testing", "gate"];

/// Unfinished work and switched-off tests. Split so that this file does not find itself.
const UNFINISHED: &[(&str, &str)] = &[
    (concat!("to", "do!("), "finish it, or leave it out"),
    (concat!("unimple", "mented!("), "finish it, or leave it out"),
    (concat!("FIX", "ME"), "fix it, or say why it stays"),
    (concat!("#[ign", "ore"), "a test that never runs proves nothing"),
];

pub(super) fn check(source: &Source<'_>, report: &mut Report) {
    let path = source.path;
    if source.name() == "mod.rs" {
        report.findings.push(format!(
            "{path}: `foo/mod.rs` is `foo.rs` here, so that tabs in an editor tell files apart"
        ));
    }
    check_opening(source, report);
    check_length(source, report);
    check_functions(source, report);
    for (number, line) in source.text.lines().enumerate() {
        for (word, advice) in UNFINISHED {
            if line.contains(word) {
                report.findings.push(format!("{path}:{}: `{word}`: {advice}", number + 1));
            }
        }
    }
    if source.name() == "lib.rs" {
        check_lib(source, report);
    }
}

fn check_opening(source: &Source<'_>, report: &mut Report) {
    let first = source.text.lines().next().unwrap_or_default();
    let sentence = first.strip_prefix("//!").unwrap_or_default().trim();
    if sentence.is_empty() {
        report.findings.push(format!(
            "{}: the first line is not a `//!` sentence that says what the file owns and what it does not know",
            source.path
        ));
    }
}

fn check_length(source: &Source<'_>, report: &mut Report) {
    let lines = source.text.lines().count();
    if lines > LINES_MAX {
        report
            .findings
            .push(format!("{}: {lines} lines, the limit is {LINES_MAX}; split it by concern", source.path));
    } else if lines > LINES_WANTED_MAX {
        report.warnings.push(format!("{}: {lines} lines, wanted are {LINES_WANTED_MAX}", source.path));
    }
}

/// Counts from the line of `fn` to the bracket that closes at the same depth, as rustfmt lays it out.
fn check_functions(source: &Source<'_>, report: &mut Report) {
    let lines: Vec<&str> = source.text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let Some(name) = function_name(line) else { continue };
        let indent = line.len() - line.trim_start().len();
        let closing = format!("{}}}", &line[..indent]);
        let rest = &lines[number..];
        let Some(length) = rest.iter().position(|line| *line == closing).map(|at| at + 1) else { continue };
        if length > FUNCTION_LINES_WANTED_MAX {
            report.warnings.push(format!(
                "{}:{}: `{name}` has {length} lines, wanted are {FUNCTION_LINES_WANTED_MAX}",
                source.path,
                number + 1
            ));
        }
    }
}

fn function_name(line: &str) -> Option<&str> {
    let (before, after) = line.split_once("fn ")?;
    let qualifiers = ["pub", "pub(crate)", "pub(super)", "const", "async", "unsafe"];
    // A signature that ends on its line with `{` or goes on; a declaration in a trait has no body.
    let has_body = !line.trim_end().ends_with(';') && !line.trim_end().ends_with('}');
    let is_signature = before.split_whitespace().all(|word| qualifiers.contains(&word));
    let name = after.split(['(', '<']).next()?;
    (has_body && is_signature).then_some(name)
}

/// A `lib.rs` is a table of contents: attributes, private modules, then the explicit list of what is public.
fn check_lib(source: &Source<'_>, report: &mut Report) {
    let mut last_item = "";
    for (number, line) in source.text.lines().enumerate() {
        let at = format!("{}:{}", source.path, number + 1);
        let public = line.strip_prefix("pub mod ").map(|rest| rest.trim_end().trim_end_matches(';'));
        if public.is_some_and(|module| !PUBLIC_MODULES.contains(&module)) {
            report
                .findings
                .push(format!("{at}: modules are private; name what is public in the `pub use` list"));
        }
        if line.starts_with("pub use ") && line.contains("::*") {
            report.findings.push(format!("{at}: `pub use` names each item, a glob hides what is promised"));
        }
        let item = [
            "fn ",
            "pub fn ",
            "struct ",
            "pub struct ",
            "enum ",
            "pub enum ",
            "impl ",
            "impl<",
            "trait ",
            "pub trait ",
        ];
        if item.iter().any(|start| line.starts_with(start)) {
            report.findings.push(format!("{at}: an item in lib.rs; move it to the file of its concern"));
        }
        if line.starts_with("pub use ") {
            last_item = "use";
        } else if line.starts_with("mod ") {
            if last_item == "use" {
                report.findings.push(format!("{at}: lib.rs declares its modules before the `pub use` list"));
            }
            last_item = "mod";
        }
    }
}
