//! The program with a real small model: it runs to its end inside its budget, and what it keeps is checked; quality is not judged.

use std::process::{Command, Stdio};

const LLAMA: &str = "PENSTOCK_TEST_LLAMA_URL";
const CALLS_MAX: u64 = 20;

/// With `PENSTOCK_TEST_LLAMA_URL` (the address of a llama.cpp server) a real model describes a small database.
#[test]
fn a_real_small_model_runs_to_the_end_and_fails_softly() {
    let Ok(url) = std::env::var(LLAMA) else {
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), "SKIPPED: {LLAMA} is not set, no real model was asked");
        return;
    };
    let dir = tempfile::tempdir().expect("temp dir");
    let file = dir.path().join("shop.db");
    let store = rusqlite::Connection::open(&file).expect("opens");
    let sql = "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT);
         CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id), total REAL);
         INSERT INTO customers VALUES (1, 'a@example.org'); INSERT INTO orders VALUES (1, 1, 5.0);";
    store.execute_batch(sql).expect("creates");
    let out = dir.path().join("out");
    let mut command = Command::new(env!("CARGO_BIN_EXE_discover"));
    command.arg("--sqlite").arg(&file).arg("--out").arg(&out);
    let url = format!("{}/v1/chat/completions", url.trim_end_matches('/'));
    command.args(["--llm", &url, "--provider", "llama_cpp", "--model", "smollm2"]);
    command.args(["--max-calls", &CALLS_MAX.to_string(), "--answer-tokens", "160", "--max-minutes", "3"]);
    let done = command.stdin(Stdio::null()).output().expect("runs");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");
    let last = said
        .lines()
        .find(|line| line.starts_with("phase 2: finished") || line.starts_with("phase 2: paused"));
    let last = last.unwrap_or_else(|| panic!("no end of phase 2: {said}"));
    let words: Vec<&str> = last.split(['(', ' ']).collect();
    let asked = words.iter().zip(words.iter().skip(1)).find(|(_, unit)| unit.starts_with("questions"));
    let asked: u64 = asked.expect("a count").0.parse().expect("a number");
    assert!((1..=CALLS_MAX).contains(&asked), "{last}");
    assert!(out.join("report.html").is_file() && out.join("report.md").is_file());
    // Whatever it kept as an answer to a question runs.
    let catalog =
        std::fs::read_dir(out.join("catalog")).expect("the data folder").flatten().find_map(|entry| {
            let store = rusqlite::Connection::open(entry.path()).ok()?;
            let mut kept = store
                .prepare("SELECT example_sql FROM llm_question_templates WHERE example_sql IS NOT NULL")
                .ok()?;
            let rows: Vec<String> = kept.query_map([], |r| r.get(0)).ok()?.collect::<Result<_, _>>().ok()?;
            Some(rows)
        });
    for sql in catalog.expect("a catalog") {
        store.prepare(&sql).unwrap_or_else(|e| panic!("{sql} was kept: {e}"));
    }
}
