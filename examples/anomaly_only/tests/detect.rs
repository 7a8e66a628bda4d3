//! The `detect` command as a user runs it.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::Path;
use std::process::{Command, Output};

fn detect(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_detect")).args(args).output().unwrap()
}

fn file(dir: &Path, name: &str, statements: &[String]) -> String {
    let lines: Vec<String> = statements.iter().map(|s| serde_json::json!({ "sql": s }).to_string()).collect();
    let path = dir.join(name);
    std::fs::write(&path, lines.join("\n")).unwrap();
    path.display().to_string()
}

#[test]
fn counts_add_up_cold_and_learned() {
    let dir = tempfile::tempdir().unwrap();
    let own: Vec<String> = (0..200).map(|i| format!("SELECT a FROM t WHERE b = {i}")).collect();
    let odd = vec!["SELECT a FROM t WHERE c = 5".to_owned(), "SELECT a FROM t WHERE b = 1 OR 1=1".to_owned()];
    let (own, odd) = (file(dir.path(), "own.jsonl", &own), file(dir.path(), "odd.jsonl", &odd));
    let lines = |out: Output| -> Vec<serde_json::Value> {
        assert!(out.status.success(), "{out:?}");
        let text = String::from_utf8(out.stdout).unwrap();
        text.lines().map(|l| serde_json::from_str(l).unwrap()).collect()
    };
    let cold = lines(detect(&["--dialect", "pg", "--check", &odd, "--json"]));
    assert_eq!(cold, [serde_json::json!({"file": odd, "total": 2, "allowed": 1, "flagged": 0, "denied": 1})]);
    let learned = lines(detect(&["--dialect", "pg", "--learn", &own, "--check", &own, &odd, "--json"]));
    assert_eq!(learned[0]["allowed"], 200);
    assert_eq!((&learned[1]["flagged"], &learned[1]["denied"]), (&1.into(), &1.into()));
}

#[test]
fn bad_input_is_named_and_fails() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("bad.jsonl");
    std::fs::write(&path, "{\"sql\": \"SELECT 1\"}\n{\"query\": 1}\n").unwrap();
    let path = path.display().to_string();
    for (args, needle) in [
        (vec!["--dialect", "pg", "--check", &path], ":2: no text member"),
        (vec!["--dialect", "pg", "--check", "/nonexistent/x.jsonl"], "/nonexistent/x.jsonl"),
        (vec!["--dialect", "oracle", "--check", &path], "unknown dialect"),
        (vec!["--dialect", "pg"], "--check needs"),
        (vec!["--check", &path], "--dialect is missing"),
        (vec!["--frob"], "unknown option"),
    ] {
        let out = detect(&args);
        let message = String::from_utf8_lossy(&out.stderr).into_owned();
        assert!(!out.status.success() && message.contains(needle), "{args:?}: {message}");
        assert!(out.stdout.is_empty());
    }
}
