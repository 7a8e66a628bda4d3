//! Learns from and judges files of `{"sql": …}` lines; prints one line of counts a file, no statement.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool")]

use ai_core_anomaly::{
    Action, Detector, DetectorConfig, Dialect, ManualClock, Mode, SqlMode, StatementContext,
};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::process::ExitCode;
use std::sync::Arc;

const USAGE: &str = "usage: detect --dialect pg|mysql|sqlite [--learn FILE.jsonl]... --check FILE.jsonl... [--json] [--explain]

  --dialect   lexical rules of the statements
  --learn     learn these statements as one application's own, then judge in enforce mode
  --check     judge these files with default thresholds
  --json      print JSON lines {\"file\",\"total\",\"allowed\",\"flagged\",\"denied\"}
  --explain   also print every statement that was not allowed, with its rules, to standard error";
const USER: &str = "application";
/// Pause between two statements on the virtual clock: well below the rate limit.
const STEP_MS: u64 = 100;
const LINE_BYTES_MAX: usize = 64 << 20;

#[derive(Debug, Default)]
struct Args {
    dialect: Option<Dialect>,
    learn: Vec<String>,
    check: Vec<String>,
    json: bool,
    explain: bool,
}

fn main() -> ExitCode {
    match parse(std::env::args().skip(1)).and_then(|args| run(&args)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("detect: {message}");
            ExitCode::FAILURE
        }
    }
}

fn parse(args: impl Iterator<Item = String>) -> Result<Args, String> {
    let mut out = Args::default();
    let mut list = None;
    for arg in args {
        match arg.as_str() {
            "--json" => (out.json, list) = (true, None),
            "--explain" => (out.explain, list) = (true, None),
            "--dialect" | "--learn" | "--check" => list = Some(arg),
            "--help" | "-h" => return Err(USAGE.to_owned()),
            other if other.starts_with("--") => return Err(format!("unknown option {other}\n{USAGE}")),
            _ => match list.as_deref() {
                Some("--dialect") => {
                    out.dialect = Some(dialect(&arg)?);
                    list = None;
                }
                Some("--learn") => out.learn.push(arg),
                Some("--check") => out.check.push(arg),
                _ => return Err(format!("{arg:?} belongs to no option\n{USAGE}")),
            },
        }
    }
    if out.dialect.is_none() {
        return Err(format!("--dialect is missing\n{USAGE}"));
    }
    if out.check.is_empty() {
        return Err(format!("--check needs at least one file\n{USAGE}"));
    }
    Ok(out)
}

fn dialect(name: &str) -> Result<Dialect, String> {
    match name {
        "pg" | "postgres" | "postgresql" => Ok(Dialect::Postgres),
        "mysql" | "mariadb" => Ok(Dialect::MySql),
        "sqlite" => Ok(Dialect::Sqlite),
        other => Err(format!("unknown dialect {other:?}: use pg, mysql or sqlite")),
    }
}

fn run(args: &Args) -> Result<(), String> {
    let dialect = args.dialect.ok_or("--dialect is missing")?;
    // Read first, so that a bad file is reported before anything is printed.
    let mut learn = Vec::new();
    for file in &args.learn {
        learn.extend(read(file)?);
    }
    let checks = args.check.iter().map(|f| read(f)).collect::<Result<Vec<_>, _>>()?;

    let clock = Arc::new(ManualClock::new(1_700_000_000_000));
    let mut config = DetectorConfig::default();
    config.mode = Mode::Learn;
    let detector = Detector::with_clock(config.clone(), clock.clone()).map_err(|e| e.to_string())?;
    for sql in &learn {
        clock.advance_ms(STEP_MS);
        _ = detector.check(&context(dialect, sql));
    }
    detector.finish_learning(USER);
    config.mode = Mode::Enforce;
    detector.set_config(config).map_err(|e| e.to_string())?;
    for (file, statements) in args.check.iter().zip(&checks) {
        let (mut allowed, mut flagged, mut denied) = (0_usize, 0_usize, 0_usize);
        for sql in statements {
            clock.advance_ms(STEP_MS);
            let verdict = detector.check(&context(dialect, sql));
            match verdict.action {
                Action::Allow => allowed += 1,
                Action::Flag => flagged += 1,
                Action::Deny => denied += 1,
            }
            if args.explain && verdict.action != Action::Allow {
                eprintln!("{:?} {:.2} {:?} {sql:?}", verdict.action, verdict.risk, verdict.rules());
            }
        }
        let total = statements.len();
        if args.json {
            let line = serde_json::json!({
                "file": file, "total": total, "allowed": allowed, "flagged": flagged, "denied": denied,
            });
            println!("{line}");
        } else {
            println!("{file}: {total} statements, {allowed} allowed, {flagged} flagged, {denied} denied");
        }
    }
    Ok(())
}

fn context(dialect: Dialect, sql: &str) -> StatementContext<'_> {
    StatementContext::new(dialect, sql.as_bytes()).user(USER).sql_mode(Some(SqlMode::default()))
}

/// The statements of a file; every line must be an object with a text member `sql`.
fn read(path: &str) -> Result<Vec<String>, String> {
    let file = File::open(path).map_err(|e| format!("{path}: {e}"))?;
    let mut out = Vec::new();
    for (line, n) in BufReader::new(file).lines().zip(1_u64..) {
        let line = line.map_err(|e| format!("{path}:{n}: {e}"))?;
        if line.trim().is_empty() {
            continue;
        }
        if line.len() > LINE_BYTES_MAX {
            return Err(format!("{path}:{n}: longer than {LINE_BYTES_MAX} bytes"));
        }
        let value: serde_json::Value =
            serde_json::from_str(&line).map_err(|e| format!("{path}:{n}: no JSON: {e}"))?;
        match value.get("sql").and_then(serde_json::Value::as_str) {
            Some(sql) => out.push(sql.to_owned()),
            None => return Err(format!("{path}:{n}: no text member \"sql\"")),
        }
    }
    Ok(out)
}
