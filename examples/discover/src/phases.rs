//! From the command line to the report: host, harvest, model, files; it knows no stage of the agent.

use std::path::{Path, PathBuf};

use bridge_ai::Facts;
use bridge_host::{Host, HostConfig, TargetSpec};
use mcp::{CallContext, Caller, Scope, ToolSet};

use crate::args::Args;
use crate::model;
use crate::report::{self, Phase};
use crate::sample;
use crate::screen::{progress, say};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// The endpoint whose tools both phases use.
const QUERY: &str = "/mcp/query";
/// Objects in the report at most.
const REPORT_OBJECTS_MAX: usize = 2_000;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    std::fs::create_dir_all(&args.out).map_err(|e| format!("{}: {e}", args.out.display()))?;
    let target = target(args)?;
    let name = target.target_id.clone();
    let mut config = HostConfig::new(args.out.join("catalog"));
    config.targets = vec![target];
    config.allow_privileged_backend = args.allow_privileged_backend;
    let host = Host::open(config)?;
    let result = both(args, &host, &name);
    host.close();
    result
}

fn both(args: &Args, host: &Host, name: &str) -> Result<(), Failure> {
    let cx = CallContext::new(Caller::new("discover", Scope::Full), QUERY);
    let tools = host.registry().tool_set(QUERY);
    let run_id = match open_run(args, tools.as_ref(), &cx, name)? {
        Some(run_id) => {
            say(&format!("phase 1: going on with run {run_id}, which is not described to its end"));
            run_id
        }
        None => harvest(host, name)?,
    };
    let phase = match &args.llm {
        None => {
            "Phase 1 only: every statement comes from the schema and the data, none from a model.".to_owned()
        }
        Some(url) => {
            let llm = model::client(args, url)?;
            let outcome = model::describe(args, tools.as_ref(), llm.as_ref(), &cx, name, run_id)?;
            format!("Phase 2 {}", model::sentence(&outcome))
        }
    };
    let facts = Facts::read(tools.as_ref(), &cx, name, Some(run_id), REPORT_OBJECTS_MAX)?;
    for (file, text) in [
        ("report.html", report::html(&facts, &Phase(&phase))),
        ("report.md", report::markdown(&facts, &Phase(&phase))),
    ] {
        let path = args.out.join(file);
        std::fs::write(&path, text).map_err(|e| format!("{}: {e}", path.display()))?;
        say(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn harvest(host: &Host, name: &str) -> Result<i64, Failure> {
    say(&format!("phase 1: harvesting {name}"));
    let mut stage = String::new();
    let harvested = host.harvest(name, move |step| {
        if stage != step.stage {
            stage.clone_from(&step.stage);
            progress(&format!("phase 1: {stage}"));
        }
    })?;
    say(&format!(
        "phase 1: {} objects, {} references that nobody declared",
        harvested.objects, harvested.inferred_relationships
    ));
    for warning in &harvested.warnings {
        say(&format!("  {warning}"));
    }
    Ok(harvested.run_id)
}

/// The run of an agent run that an earlier call left open.
fn open_run(args: &Args, tools: &dyn ToolSet, cx: &CallContext, name: &str) -> Result<Option<i64>, Failure> {
    let (Some(_), Some(model)) = (&args.llm, &args.model) else { return Ok(None) };
    let mut wanted = serde_json::Map::new();
    wanted.insert("target_id".to_owned(), name.into());
    wanted.insert("status".to_owned(), "running".into());
    let listed = tools.call(cx, "agent.run_list", wanted)?.structured_value().unwrap_or_default();
    let rows = listed.get("agent_runs").and_then(serde_json::Value::as_array);
    let ours =
        |row: &&serde_json::Value| row.get("model_name").and_then(|m| m.as_str()) == Some(model.as_str());
    Ok(rows.and_then(|rows| rows.iter().find(ours)).and_then(|row| row.get("run_id")?.as_i64()))
}

fn target(args: &Args) -> Result<TargetSpec, Failure> {
    if let Some(text) = &args.target {
        return Ok(TargetSpec::parse(text)?);
    }
    if let Some(file) = &args.sqlite {
        return file_target(file);
    }
    let file = args.out.join("sample.sqlite");
    if !file.exists() {
        sample::create(&file)?;
        say(&format!("created the sample shop: {}", file.display()));
    }
    file_target(&file)
}

fn file_target(file: &Path) -> Result<TargetSpec, Failure> {
    let path: PathBuf = std::fs::canonicalize(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let name: String = stem.chars().map(plain).take(64).collect();
    let name = if name.is_empty() { "main".to_owned() } else { name };
    let mut target = TargetSpec::parse(&format!("{name}=sqlite:x"))?;
    target.connect.host = path.display().to_string();
    Ok(target)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::run;
    use crate::args::Args;

    #[test]
    fn a_report_needs_no_model_and_keeps_markup_out() {
        let dir = tempfile::tempdir().expect("temp dir");
        let file = dir.path().join("shop.db");
        let sql = "CREATE TABLE customers (id INTEGER PRIMARY KEY, email TEXT);
             CREATE TABLE orders (id INTEGER PRIMARY KEY, customer_id INTEGER REFERENCES customers (id));
             CREATE TABLE \"<script>alert(1)</script>\" (x TEXT);";
        rusqlite::Connection::open(&file).expect("opens").execute_batch(sql).expect("creates");
        let out = dir.path().join("out");
        let words =
            ["discover", "--sqlite", file.to_str().expect("UTF-8"), "--out", out.to_str().expect("UTF-8")];
        run(&Args::parse_from(words)).expect("runs");
        let html = std::fs::read_to_string(out.join("report.html")).expect("report");
        assert!(html.contains("main.orders.customer_id \u{2192} main.customers.id"), "{html}");
        assert!(html.contains("<svg") && !html.contains("<script>"), "{html}");
        let markdown = std::fs::read_to_string(out.join("report.md")).expect("report");
        assert!(markdown.contains("| orders.customer_id | customers.id | declared | 1.00 |"), "{markdown}");
        assert!(markdown.contains("declares no primary key."), "{markdown}");
    }
}
