//! Planted faults for the house rules, and the rule that this repository has none.

use super::check;
use crate::process;

const MAP: &str = "# Map\n\n`mcp` `mcp_x`\n";

const MANIFEST: &str = "[package]\nname = \"mcp\"\ndescription = \"Protocol model and rules of the server\"\n\
    version.workspace = true\nedition.workspace = true\nrust-version.workspace = true\n\
    license.workspace = true\npublish.workspace = true\n\n[lints]\nworkspace = true\n";

/// Checks a repository of a clean manifest and code map plus one file.
fn findings_with(path: &str, text: &str) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let files = [("mcp/Cargo.toml", MANIFEST), ("ARCHITECTURE.md", MAP), (path, text)];
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    check(folder.path()).unwrap().findings
}

#[track_caller]
fn assert_one(path: &str, text: &str, expected: &str) {
    let findings = findings_with(path, text);
    assert_eq!(findings.len(), 1, "{findings:#?}");
    assert!(findings[0].contains(expected), "{findings:#?}");
}

#[test]
fn this_repository_is_tidy() {
    let report = check(&process::root()).unwrap();
    assert!(report.files > 10, "only {} files were read", report.files);
    assert!(report.findings.is_empty(), "{:#?}", report.findings);
}

#[test]
fn a_clean_file_has_no_finding() {
    let text = "//! Owns a thing.\n\nmod thing;\n\npub use thing::Thing;\n";
    assert!(findings_with("mcp/src/lib.rs", text).is_empty());
}

#[test]
fn a_rust_file_opens_with_its_purpose() {
    assert_one("mcp/src/a.rs", "fn main() {}\n", "mcp/src/a.rs: the first line");
    assert_one("mcp/src/a.rs", "//!\nfn main() {}\n", "mcp/src/a.rs: the first line");
}

#[test]
fn there_is_no_mod_rs() {
    assert_one("mcp/src/a/mod.rs", "//! Owns a.\n", "`foo.rs`");
}

#[test]
fn long_files_fail_and_longish_ones_warn() {
    let lines = |count: usize| format!("//! Long.\n{}", "//\n".repeat(count));
    assert_one("mcp/src/a.rs", &lines(700), "701 lines");
    assert!(findings_with("mcp/src/a.rs", &lines(699)).is_empty());
}

#[test]
fn long_functions_warn() {
    let folder = tempfile::tempdir().unwrap();
    let text = |lines: usize| {
        format!("//! A.\nimpl A {{\n    fn a(&self) {{\n{}    }}\n}}\n", "        b();\n".repeat(lines))
    };
    std::fs::write(folder.path().join("a.rs"), text(69)).unwrap();
    let warnings = check(folder.path()).unwrap().warnings;
    assert_eq!(warnings, ["a.rs:3: `a` has 71 lines, wanted are 70"]);
    std::fs::write(folder.path().join("a.rs"), text(68)).unwrap();
    assert!(check(folder.path()).unwrap().warnings.is_empty());
}

#[test]
fn unfinished_work_is_named_with_its_line() {
    let text = format!("//! A.\nfn a() {{ {}) }}\n", concat!("to", "do!("));
    assert_one("mcp/src/a.rs", &text, "mcp/src/a.rs:2:");
    let text = format!("//! A.\n\n{}]\nfn a() {{}}\n", concat!("#[ign", "ore"));
    assert_one("mcp/src/a.rs", &text, "mcp/src/a.rs:3:");
    assert_one("mcp/src/a.rs", concat!("//! A.\n// FIX", "ME later\n"), "mcp/src/a.rs:2:");
}

#[test]
fn lib_rs_is_a_table_of_contents() {
    assert_one("mcp/src/lib.rs", "//! A.\npub mod thing;\n", "modules are private");
    assert_one("mcp/src/lib.rs", "//! A.\nmod thing;\npub use thing::*;\n", "glob");
    assert_one("mcp/src/lib.rs", "//! A.\npub fn thing() {}\n", "an item in lib.rs");
    assert_one("mcp/src/lib.rs", "//! A.\npub use a::A;\nmod b;\n", "before the `pub use` list");
}

#[test]
fn blanks_and_missing_line_ends_are_found() {
    assert_one("a.toml", "a = 1 \n", "a.toml:1: blanks");
    assert_one("a.toml", "a = 1", "no line end");
}

#[test]
fn words_of_one_machine_are_found() {
    assert_one("README.md", concat!("see /wo", "rk/main\n"), "README.md:1:");
}

#[test]
fn links_must_lead_somewhere() {
    assert_one("README.md", "[a](missing.md)\n", "`missing.md` does not exist");
    assert!(findings_with("README.md", "[a](ARCHITECTURE.md#map)\n\n```text\n[b](none)\n```\n").is_empty());
}

#[test]
fn paths_in_code_must_exist() {
    assert_one("README.md", "edit `mcp/src/missing.rs`\n", "`mcp/src/missing.rs` does not exist");
    assert!(findings_with("README.md", "edit `mcp/Cargo.toml`\n").is_empty());
}

#[test]
fn a_manifest_inherits_from_the_workspace() {
    let manifest = MANIFEST.replace("\"mcp\"", "\"mcp_x\"");
    let without = |line: &str| manifest.replace(line, "");
    assert_one(
        "mcp/x/Cargo.toml",
        &without("edition.workspace = true\n"),
        "`edition.workspace = true` is missing",
    );
    assert_one("mcp/x/Cargo.toml", &without("[lints]\nworkspace = true\n"), "`[lints] workspace = true`");
    assert_one("mcp/y/Cargo.toml", &MANIFEST.replace("\"mcp\"", "\"mcp_y\""), "does not name `mcp_y`");
}

#[test]
fn versions_live_in_the_root_manifest() {
    let manifest = format!("{MANIFEST}\n[dependencies]\nserde = {{ version = \"1\" }}\n");
    let findings = findings_with("mcp/Cargo.toml", &manifest);
    assert_eq!(findings.len(), 1, "{findings:#?}");
}
