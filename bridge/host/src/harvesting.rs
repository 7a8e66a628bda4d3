//! Harvests on the host's own behalf, through the same tool that agents use; it does not know how a harvest works.

use std::sync::{Arc, Mutex, PoisonError};

use mcp::{CallContext, Caller, ProgressSink, Scope, ToolSet};
use serde_json::{Map, Value};

use crate::error::HostError;
use crate::host::Host;

/// The caller's name of harvests that the host starts.
const CALLER: &str = "host";

/// One step of a running harvest.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HarvestProgress {
    /// Grows from step to step.
    pub progress: f64,
    /// The end of `progress`, when known.
    pub total: Option<f64>,
    /// The stage.
    pub stage: String,
}

/// What a finished harvest found.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HarvestReport {
    /// The run.
    pub run_id: i64,
    /// Objects in it.
    pub objects: u64,
    /// References found that nobody declared.
    pub inferred_relationships: u64,
    /// What the account may not read.
    pub warnings: Vec<String>,
    /// The tool's whole answer.
    pub answer: Value,
}

struct Sink<F>(Mutex<F>);

impl<F: FnMut(&HarvestProgress) + Send> ProgressSink for Sink<F> {
    fn progress(&self, progress: f64, total: Option<f64>, message: Option<&str>) {
        let step = HarvestProgress { progress, total, stage: message.unwrap_or_default().to_owned() };
        (self.0.lock().unwrap_or_else(PoisonError::into_inner))(&step);
    }
}

impl Host {
    /// Harvests a target, incrementally where a run is there already, and reports each step.
    ///
    /// # Errors
    /// What `discovery.run_static` fails with.
    pub fn harvest(
        &self,
        target_id: &str,
        step: impl FnMut(&HarvestProgress) + Send + 'static,
    ) -> Result<HarvestReport, HostError> {
        let mut cx = CallContext::new(Caller::new(CALLER, Scope::Full), crate::host::QUERY);
        cx.progress = Arc::new(Sink(Mutex::new(step)));
        let mut args = Map::new();
        args.insert("target_id".to_owned(), Value::from(target_id));
        args.insert("incremental".to_owned(), Value::Bool(true));
        let output = self.registry().tool_set(crate::host::QUERY).call(&cx, "discovery.run_static", args)?;
        let answer = output.structured_value().unwrap_or_default();
        let count = |name: &str| answer.get(name).and_then(Value::as_u64).unwrap_or_default();
        let warnings = answer.get("warnings").and_then(Value::as_array).into_iter().flatten();
        Ok(HarvestReport {
            run_id: answer.get("run_id").and_then(Value::as_i64).unwrap_or_default(),
            objects: count("objects_count"),
            inferred_relationships: count("inferred_relationships"),
            warnings: warnings.map(|w| w.as_str().map_or_else(|| w.to_string(), str::to_owned)).collect(),
            answer,
        })
    }
}
