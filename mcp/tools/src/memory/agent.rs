//! `agent.*`: agent runs and their events.

mod event_append;
mod run_finish;
mod run_list;
mod run_start;

pub(super) use event_append::EventAppend;
pub(super) use run_finish::RunFinish;
pub(super) use run_list::RunList;
pub(super) use run_start::RunStart;
