//! Tests of tasks; they know no transport.

use mcp::{Caller, Scope};

use super::*;

fn new(cx: &CallContext, tasks_max: usize) -> NewTask<'_> {
    let capabilities = ClientCapabilities::new(json!({"elicitation": {}}).as_object().cloned().unwrap());
    NewTask {
        cx,
        endpoint: "/mcp/x".into(),
        capabilities,
        ttl_ms: 60_000,
        poll_interval_ms: 100,
        tasks_max,
        bytes_max: 1000,
    }
}

fn cx(name: &str) -> CallContext {
    CallContext::new(Caller::new(name, Scope::Full), "/mcp/x")
}

#[test]
fn tasks_belong_to_their_caller_and_are_bounded() {
    let tasks = Tasks::default();
    let task = tasks.create(new(&cx("a"), 1)).unwrap();
    assert!(tasks.get(task.id(), "a", "/mcp/x").is_ok());
    assert_eq!(tasks.get(task.id(), "b", "/mcp/x").err().map(|e| e.code), Some(-32602));
    assert_eq!(tasks.get(task.id(), "a", "/mcp/y").err().map(|e| e.code), Some(-32602));
    let refused = |max| tasks.create(new(&cx("a"), max)).err().map(|e| e.code);
    assert_eq!(refused(1), Some(ErrorCode::LimitExceeded));
    task.end(Ending::Completed(json!({})), 1000);
    assert_eq!(refused(9), Some(ErrorCode::LimitExceeded), "results that are kept count too");
}

#[test]
fn answers_are_taken_one_by_one() {
    let tasks = Tasks::default();
    let context = cx("a");
    let task = tasks.create(new(&context, 9)).unwrap();
    let link = TaskLink { task: Arc::clone(&task), ask_timeout: Duration::from_secs(10) };
    let ask = |key: &str| Ask::elicit(key, "?", json!({"type": "object", "properties": {}}));
    let waiting = std::thread::spawn(move || link.ask(&context, &[ask("a"), ask("b")]));
    while task.members(true)["status"] != "input_required" {
        std::thread::yield_now();
    }
    let yes = json!({"action": "accept", "content": {}});
    let answer = |key: &str, value: &Value| {
        task.update([(key.to_owned(), value.clone())].into_iter().collect::<Map<_, _>>())
    };
    assert!(answer("a-1", &json!(1)).is_err());
    assert!(answer("nope", &json!(1)).is_ok());
    answer("a-1", &yes).unwrap();
    let open: Vec<String> =
        task.members(true)["inputRequests"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(open, ["b-2"]);
    answer("b-2", &yes).unwrap();
    assert_eq!(waiting.join().unwrap().unwrap().len(), 2);
    task.cancel_now();
    task.end(Ending::Completed(json!({})), 2);
    assert_eq!(task.members(true)["status"], "cancelled");
}

#[test]
fn tasks_on_disk_are_found_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().join("tasks");
    let (done, running) = {
        let tasks = Tasks::open(&place).unwrap();
        let [done, running] = [(); 2].map(|()| tasks.create(new(&cx("a"), 9)).unwrap());
        done.end(Ending::Completed(json!({"isError": false})), 17);
        assert!(Tasks::open(&place).unwrap().files.is_none(), "one process at a time");
        (done.members(true), running.id().to_owned())
    };
    std::fs::write(place.join("x.part"), "cut").unwrap();
    std::fs::write(place.join("y.json"), "{}").unwrap();

    let broken = {
        let tasks = Tasks::open(&place).unwrap();
        assert!(!place.join("x.part").exists());
        let members = |id: &str| tasks.get(id, "a", "/mcp/x").unwrap().members(true);
        let id = done["taskId"].as_str().unwrap();
        assert_eq!(members(id), done);
        assert!(tasks.get(id, "b", "/mcp/x").is_err(), "bound to its caller after a restart too");
        members(&running)
    };
    assert_eq!(broken["status"], "failed");
    assert_eq!(broken["error"]["data"]["reason"], "interrupted");
    let again = Tasks::open(&place).unwrap().get(&running, "a", "/mcp/x").unwrap().members(true);
    assert_eq!(again, broken, "ended once, it stays so");
}

#[test]
fn expired_tasks_leave_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let tasks = Tasks::open(folder.path()).unwrap();
    let context = cx("a");
    let short = |ttl_ms| NewTask { ttl_ms, ..new(&context, 9) };
    let is_task = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|ending| ending == "json");
    let files = || std::fs::read_dir(folder.path()).unwrap().map(Result::unwrap).filter(is_task).count();
    tasks.create(short(0)).unwrap().cancel_now();
    tasks.create(short(0)).unwrap().cancel_now();
    assert_eq!(files(), 1, "the first went when the second came");
    drop(tasks);
    Tasks::open(folder.path()).unwrap();
    assert_eq!(files(), 0);
}
