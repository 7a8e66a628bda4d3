//! Tools that run as tasks; it does not know where tasks are kept.

use std::time::{Duration, Instant};

use mcp::{
    Ask, CallContext, ErrorCode, RpcError, ToolAnnotations, ToolError, ToolOutput, ToolResult, ToolSpec,
};
use serde_json::{Map, Value, json};

use crate::asking::{ask_name, content};
use crate::tools::{Entry, argument, bare, text, with_texts};

/// The tools.
pub(crate) fn entries() -> Vec<Entry> {
    let slow = json!({"type": "object", "properties": {
        "seconds": {"type": "number", "minimum": 0, "maximum": 600, "description": "How long."},
        "label": {"type": "string", "description": "What to call it."},
    }, "required": ["seconds"]});
    vec![
        (with_texts("greet", "Greets.", &["name"]).inline(), |_, args| {
            text(format!("Hello, {}!", argument(args, "name")))
        }),
        (
            ToolSpec::new("slow_compute", "Sleeps and answers.", slow, ToolAnnotations::READ)
                .with_task_support(),
            slow_compute,
        ),
        (bare("failing_job", "Fails after a while.").with_task_required(), |_, _| {
            std::thread::sleep(Duration::from_millis(100));
            Err(ToolError::new(ErrorCode::Internal, "The job failed"))
        }),
        (bare("protocol_error_job", "Ends with a protocol error.").with_task_support(), |cx, _| {
            std::thread::sleep(Duration::from_millis(100));
            Err(cx.protocol_error(RpcError::new(RpcError::INTERNAL, "The job broke the protocol")))
        }),
        (
            with_texts("confirm_delete", "Deletes after a confirmation.", &["filename"]).with_task_support(),
            |cx, args| match cx.confirm("confirm", &format!("Delete {}?", argument(args, "filename")))? {
                Some(true) => text(format!("Deleted {}", argument(args, "filename"))),
                _ => text("Nothing was deleted"),
            },
        ),
        (bare("multi_input", "Asks two things at once.").with_task_support(), |cx, _| {
            let schema = json!({"type": "object", "properties": {"confirm": {"type": "boolean"}}});
            let answers = cx.ask_all(&[
                ask_name("name", "What is your name?"),
                Ask::elicit("confirm", "Go on?", schema),
            ])?;
            text(format!("{} gave {} answers", content(&answers[0], "name"), answers.len()))
        }),
        (
            bare("test_tool_with_task", "Asks, then becomes a task.").with_task_required().with_late_task(),
            |cx, _| {
                let answer = cx.ask(ask_name("user_name", "What is your name?"))?;
                cx.client.become_task();
                std::thread::sleep(Duration::from_millis(100));
                text(format!("Hello, {}!", content(&answer, "name")))
            },
        ),
    ]
}

fn slow_compute(cx: &CallContext, args: &Map<String, Value>) -> ToolResult<ToolOutput> {
    let seconds = args.get("seconds").and_then(Value::as_f64).unwrap_or_default();
    let end = Instant::now() + Duration::from_secs_f64(seconds.clamp(0.0, 600.0));
    while Instant::now() < end {
        if cx.cancel.is_cancelled() {
            return Err(ToolError::precondition("cancelled"));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    text(format!("Computed {} in {seconds} s", argument(args, "label")))
}
