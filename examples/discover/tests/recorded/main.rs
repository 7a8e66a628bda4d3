//! The program against a scripted model server over a real socket: killed and gone on with, it ends as if undisturbed.

mod exchanges;
mod outcome;
mod scripted;
mod server;

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use exchanges::Exchanges;
use outcome::Outcome;
use server::{ModelServer, Played};

const MODEL: &str = "scripted";
const WAIT: Duration = Duration::from_secs(240);
/// Names the environment variable that makes the test write its exchanges anew, from the rules in `scripted`.
const RECORD: &str = "DISCOVER_RECORD";

fn program(out: &Path, server: &ModelServer) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_discover"));
    command
        .args(["--llm", &server.url(), "--provider", "openai", "--model", MODEL, "--lookups", "--out"])
        .arg(out);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("the program starts")
}

/// Runs to the end.
fn whole(out: &Path, server: &ModelServer) {
    let mut child = program(out, server);
    let until = Instant::now() + WAIT;
    loop {
        if let Some(status) = child.try_wait().expect("a child") {
            assert!(status.success(), "the program ended with {status}");
            return;
        }
        assert!(Instant::now() < until, "the program takes too long");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Kills the program when the server has been asked for the `at`th time, before or after it answers.
fn killed(out: &Path, server: &ModelServer, at: usize, before_the_answer: bool) {
    server.stop_at(at, before_the_answer);
    let mut child = program(out, server);
    let until = Instant::now() + WAIT;
    while !server.has_stopped() {
        assert!(child.try_wait().expect("a child").is_none(), "the program ended before question {at}");
        assert!(Instant::now() < until, "question {at} is never asked");
        std::thread::sleep(Duration::from_millis(1));
    }
    // SIGKILL on Unix: no destructor runs, no file is closed.
    child.kill().expect("kills");
    child.wait().expect("ends");
    server.go_on();
}

#[test]
fn killed_again_and_again_it_ends_in_the_same_catalog() {
    let dir = tempfile::tempdir().expect("temp dir");
    let recording = std::env::var_os(RECORD).is_some();
    let played = if recording { Played::Scripted } else { Played::Recorded(Exchanges::read()) };
    let server = ModelServer::start(played);
    let undisturbed = dir.path().join("undisturbed");
    whole(&undisturbed, &server);
    assert_eq!(
        server.unknown(),
        Vec::<String>::new(),
        "no recorded exchange: look at the prompts, then {RECORD}=1"
    );
    let asked = server.asked();
    assert!(asked > 35, "{asked} questions");
    if recording {
        server.exchanges().write();
    }
    let wanted = Outcome::read(&undisturbed);
    wanted.check();

    let disturbed = dir.path().join("disturbed");
    // In the summaries, in a look-up, near their end, in the domains, and in the questions of the domains.
    let mut before = 0;
    for (at, before_the_answer) in
        [(2, true), (9, false), (asked / 2, true), (asked - 5, true), (asked - 3, false), (asked - 1, true)]
    {
        server.restart_count();
        killed(&disturbed, &server, at - before, before_the_answer);
        // What was answered is not asked again, so later questions come earlier.
        before = at - 1;
    }
    whole(&disturbed, &server);
    assert_eq!(server.unknown(), Vec::<String>::new());
    assert_eq!(Outcome::read(&disturbed), wanted);
}
