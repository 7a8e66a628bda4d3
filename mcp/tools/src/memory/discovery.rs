//! `discovery.*`: harvesting a target, its runs, their differences, deletion.

mod delete_run;
mod diff_runs;
mod list_runs;
mod recheck;
mod run_static;

pub(super) use delete_run::DeleteRun;
pub(super) use diff_runs::DiffRuns;
pub(super) use list_runs::ListRuns;
pub(super) use run_static::RunStatic;
