//! The pool: one answer each, exact counters, bounds, fairness, coalescing, panics, resize and stop.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use ai_core::{
    AiError, AiResult, CallContext, CancelToken, Deadline, EmbedKind, LlmDelta, LlmError, LlmErrorCode,
    LlmFlow, LlmRequest, LlmResponse, Priority,
};
use ai_core_llm::{Job, JobError, JobOutput, JobRunner, JobWork, Pool, PoolLimits, PoolStats};

/// A door that tests open.
#[derive(Default)]
struct Door {
    open: Mutex<bool>,
    bell: Condvar,
}

impl Door {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.bell.notify_all();
    }

    /// Waits until it is open or the call is cancelled.
    fn pass(&self, call: &CallContext) -> Result<(), LlmError> {
        let mut open = self.open.lock().unwrap();
        while !*open {
            if call.cancel.is_cancelled() {
                return Err(LlmError::new(LlmErrorCode::Cancelled, "cancelled inside"));
            }
            open = self.bell.wait_timeout(open, Duration::from_millis(5)).unwrap().0;
        }
        Ok(())
    }
}

/// Embeds a text as its length; prompts say what happens to them.
#[derive(Default)]
struct Scripted {
    door: Door,
    embed_calls: Mutex<Vec<Vec<String>>>,
    order: Mutex<Vec<String>>,
    llm_now: AtomicUsize,
    llm_most: AtomicUsize,
    fast_door: Option<Door>,
}

impl JobRunner for Scripted {
    fn embed(
        &self,
        model: &str,
        inputs: &[&str],
        _: EmbedKind,
        call: &CallContext,
    ) -> AiResult<Vec<Vec<f32>>> {
        self.embed_calls.lock().unwrap().push(inputs.iter().map(|t| (*t).to_owned()).collect());
        self.order.lock().unwrap().push(call.caller.clone());
        if let Some(door) = &self.fast_door {
            door.pass(call)?;
        }
        match model {
            "panic" => panic!("on purpose"),
            "fail" => Err(AiError::unavailable("down")),
            "few" => Ok(vec![vec![1.0]]),
            _ => Ok(inputs.iter().map(|t| vec![t.len() as f32, f32::from(t.as_bytes()[0])]).collect()),
        }
    }

    fn rerank(&self, _: &str, _: &str, documents: &[&str], _: &CallContext) -> AiResult<Vec<f32>> {
        Ok(documents.iter().map(|d| d.len() as f32).collect())
    }

    fn llm(
        &self,
        request: &LlmRequest,
        call: &CallContext,
        on_delta: Option<&mut dyn FnMut(LlmDelta) -> LlmFlow>,
    ) -> Result<LlmResponse, LlmError> {
        let now = self.llm_now.fetch_add(1, Ordering::SeqCst) + 1;
        self.llm_most.fetch_max(now, Ordering::SeqCst);
        self.order.lock().unwrap().push(call.caller.clone());
        let result = match request.prompt() {
            "hang" => self.door.pass(call),
            "stuck" => {
                std::thread::sleep(Duration::from_secs(2));
                Ok(())
            }
            "panic" => {
                self.llm_now.fetch_sub(1, Ordering::SeqCst);
                panic!("on purpose")
            }
            "fail" => Err(LlmError::new(LlmErrorCode::ServerError, "failed")),
            _ => Ok(()),
        };
        self.llm_now.fetch_sub(1, Ordering::SeqCst);
        result?;
        if let Some(on_delta) = on_delta {
            on_delta(LlmDelta::Text("a".into()));
            on_delta(LlmDelta::Text("b".into()));
        }
        Ok(LlmResponse::default())
    }
}

fn limits(threads: usize) -> PoolLimits {
    let mut limits = PoolLimits::default();
    limits.threads = threads;
    limits
}

fn pool(threads: usize) -> (Pool, Arc<Scripted>) {
    let runner = Arc::new(Scripted::default());
    (Pool::start(limits(threads), runner.clone()).unwrap(), runner)
}

fn llm(prompt: &str) -> Job {
    let work = JobWork::Llm { request: Box::new(LlmRequest::new(prompt)), stream: None };
    Job::new(work, CallContext::new("ann"))
}

fn embed(model: &str, inputs: &[&str]) -> Job {
    let inputs = inputs.iter().map(|t| (*t).to_owned()).collect();
    Job::new(
        JobWork::Embed { model: model.into(), inputs, kind: EmbedKind::Document },
        CallContext::new("ann"),
    )
}

fn code(error: &JobError) -> LlmErrorCode {
    match error {
        JobError::Llm(e) => e.code,
        _ => panic!("{error}"),
    }
}

fn assert_identity(s: &PoolStats) {
    assert_eq!(s.accepted, s.queued + s.active + s.completed + s.failed + s.cancelled + s.expired, "{s:?}");
}

fn until(mut reached: impl FnMut() -> bool) {
    let started = Instant::now();
    while !reached() {
        assert!(started.elapsed() < Duration::from_secs(30), "waited in vain");
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn each_kind_is_answered() {
    let (pool, _) = pool(2);
    let vectors = pool.call(embed("m", &["aa", "b"])).unwrap();
    assert_eq!(vectors, JobOutput::Vectors(vec![vec![2.0, 97.0], vec![1.0, 98.0]]));
    let documents = vec!["a".to_owned(), "bbb".to_owned()];
    let work = JobWork::Rerank { model: String::new(), query: "q".into(), documents };
    assert_eq!(pool.call(Job::new(work, CallContext::default())).unwrap(), JobOutput::Scores(vec![1.0, 3.0]));
    let heard = Arc::new(Mutex::new(String::new()));
    let hears = heard.clone();
    let stream = Box::new(move |delta| {
        if let LlmDelta::Text(text) = delta {
            hears.lock().unwrap().push_str(&text);
        }
        LlmFlow::Continue
    });
    let work = JobWork::Llm { request: Box::new(LlmRequest::new("q")), stream: Some(stream) };
    assert!(matches!(pool.call(Job::new(work, CallContext::default())), Ok(JobOutput::Llm(_))));
    assert_eq!(*heard.lock().unwrap(), "ab");
    let error = pool.call(embed("m", &[])).unwrap_err();
    assert_eq!(code(&error), LlmErrorCode::ValidationFailed);
}

#[test]
fn failures_and_panics_are_answers() {
    let (pool, _) = pool(2);
    assert_eq!(code(&pool.call(llm("fail")).unwrap_err()), LlmErrorCode::ServerError);
    assert_eq!(pool.call(llm("panic")).unwrap_err().into_ai().code.as_str(), "INTERNAL");
    assert_eq!(pool.call(embed("panic", &["a"])).unwrap_err().into_ai().code.as_str(), "INTERNAL");
    assert_eq!(pool.call(embed("fail", &["a"])).unwrap_err().into_ai().code.as_str(), "UNAVAILABLE");
    assert_eq!(pool.call(embed("few", &["a", "b"])).unwrap_err().into_ai().code.as_str(), "INTERNAL");
    assert!(pool.call(llm("fine")).is_ok());
    let stats = pool.stats();
    assert_eq!((stats.failed, stats.panics, stats.completed, stats.threads), (5, 2, 1, 2));
    assert_identity(&stats);
}

#[test]
fn single_inputs_share_calls_and_are_not_mixed_up() {
    let runner = Arc::new(Scripted::default());
    let mut limits = limits(4);
    limits.batch_wait_ms = 100;
    let pool = Pool::start(limits, runner.clone()).unwrap();
    let texts: Vec<String> = (0..64).map(|n| "x".repeat(n + 1)).collect();
    let tickets: Vec<_> = texts.iter().map(|t| pool.submit(embed("m", &[t])).unwrap()).collect();
    for (ticket, text) in tickets.into_iter().zip(&texts) {
        let JobOutput::Vectors(vectors) = ticket.wait().unwrap() else { panic!() };
        assert_eq!(vectors, [vec![text.len() as f32, 120.0]]);
    }
    assert!(runner.embed_calls.lock().unwrap().len() <= 3);
    assert_eq!(pool.stats().embed_calls, 2);
}

#[test]
fn equal_inputs_are_computed_once_and_large_jobs_are_split() {
    let runner = Arc::new(Scripted { fast_door: Some(Door::default()), ..Scripted::default() });
    let mut limits = limits(3);
    limits.batch_size = 4;
    let pool = Pool::start(limits, runner.clone()).unwrap();
    let first = pool.submit(embed("m", &["same", "other", "same"])).unwrap();
    until(|| !runner.embed_calls.lock().unwrap().is_empty());
    // In flight already: this one makes no call of its own.
    let second = pool.submit(embed("m", &["same"])).unwrap();
    until(|| pool.stats().active == 2);
    let many: Vec<String> = (0..10).map(|n| format!("n{n}")).collect();
    let third = pool.submit(embed("m", &many.iter().map(String::as_str).collect::<Vec<_>>())).unwrap();
    runner.fast_door.as_ref().unwrap().open();
    let JobOutput::Vectors(vectors) = first.wait().unwrap() else { panic!() };
    assert_eq!(vectors, [[4.0, 115.0], [5.0, 111.0], [4.0, 115.0]]);
    assert!(second.wait().is_ok());
    let JobOutput::Vectors(vectors) = third.wait().unwrap() else { panic!() };
    assert_eq!(vectors.len(), 10);
    let calls = runner.embed_calls.lock().unwrap();
    assert_eq!(calls[0], ["same", "other"]);
    assert_eq!(calls.iter().map(Vec::len).collect::<Vec<_>>(), [2, 4, 4, 2]);
}

#[test]
fn different_models_and_kinds_do_not_share() {
    let (pool, runner) = pool(1);
    let a = pool.submit(embed("m", &["a"])).unwrap();
    let b = pool.submit(embed("n", &["a"])).unwrap();
    let work = JobWork::Embed { model: "m".into(), inputs: vec!["a".into()], kind: EmbedKind::Query };
    let c = pool.submit(Job::new(work, CallContext::default())).unwrap();
    for ticket in [a, b, c] {
        ticket.wait().unwrap();
    }
    assert_eq!(runner.embed_calls.lock().unwrap().len(), 3);
}

#[test]
fn a_full_queue_answers_at_once_and_background_gets_half() {
    let runner = Arc::new(Scripted::default());
    let mut limits = limits(1);
    limits.queue_max_jobs = 4;
    let pool = Pool::start(limits, runner.clone()).unwrap();
    let running = pool.submit(llm("hang")).unwrap();
    until(|| pool.stats().active == 1);
    let background = || {
        let mut job = llm("q");
        job.call.priority = Priority::Background;
        pool.submit(job)
    };
    let held = [background().unwrap(), background().unwrap()];
    let refused = background().err().unwrap();
    assert_eq!(refused.code, LlmErrorCode::QueueFull);
    assert!(refused.retry_after_ms.is_some_and(|ms| ms >= 50));
    let more = [pool.submit(llm("q")).unwrap(), pool.submit(llm("q")).unwrap()];
    assert_eq!(pool.submit(llm("q")).err().unwrap().code, LlmErrorCode::QueueFull);
    let late = pool.submit(llm("q").with_submit_timeout_ms(30)).err().unwrap();
    assert_eq!(late.code, LlmErrorCode::QueueFull);
    assert_eq!(pool.stats().rejected, 3);
    std::thread::scope(|scope| {
        let patient = scope.spawn(|| pool.submit(llm("q").with_submit_timeout_ms(20_000)).map(|t| t.wait()));
        runner.door.open();
        assert!(patient.join().unwrap().unwrap().is_ok());
    });
    for ticket in held.into_iter().chain(more).chain([running]) {
        ticket.wait().unwrap();
    }
    let mut large = PoolLimits::default();
    large.queue_max_bytes = 1_000;
    pool.set_limits(large).unwrap();
    assert_eq!(pool.submit(llm(&"x".repeat(2_000))).err().unwrap().code, LlmErrorCode::RequestTooLarge);
    assert_identity(&pool.stats());
}

#[test]
fn hanging_models_leave_a_worker_for_interactive_embedding() {
    let (pool, runner) = pool(4);
    let mut hanging: Vec<_> = (0..10).map(|_| pool.submit(llm("hang")).unwrap()).collect();
    until(|| pool.stats().active == 3);
    let mut flood = |_| {
        let mut job = embed("m", &["a"]);
        job.call.priority = Priority::Background;
        pool.submit(job).unwrap()
    };
    let ingest: Vec<_> = (0..50).map(&mut flood).collect();
    for n in 0..50 {
        pool.call(embed("m", &[&format!("text {n}")])).unwrap();
    }
    assert_eq!(runner.llm_most.load(Ordering::SeqCst), 3);
    assert_eq!(pool.stats().active, 3, "three quarters of the workers, and the rest stays free");
    runner.door.open();
    for ticket in hanging.drain(..).chain(ingest) {
        ticket.wait().unwrap();
    }
}

#[test]
fn callers_take_turns() {
    let (pool, runner) = pool(1);
    let blocker = pool.submit(llm("hang")).unwrap();
    until(|| pool.stats().active == 1);
    let submit = |caller: &str| {
        let mut job = llm("q");
        job.call.caller = caller.into();
        pool.submit(job).unwrap()
    };
    let mut tickets: Vec<_> = (0..6).map(|_| submit("greedy")).collect();
    tickets.push(submit("modest"));
    tickets.push(submit("modest"));
    runner.door.open();
    for ticket in tickets.into_iter().chain([blocker]) {
        ticket.wait().unwrap();
    }
    let order = runner.order.lock().unwrap();
    assert_eq!(order[1..5], ["greedy", "modest", "greedy", "modest"]);
}

#[test]
fn deadlines_and_cancels_answer_without_running() {
    let (pool, runner) = pool(1);
    let hang = pool.submit(llm("hang")).unwrap();
    until(|| pool.stats().active == 1);
    let mut late = llm("q");
    late.call.deadline = Some(Deadline::after_ms(20));
    assert_eq!(code(&pool.call(late).unwrap_err()), LlmErrorCode::Timeout);
    let ticket = pool.submit(llm("q")).unwrap();
    ticket.cancel();
    assert_eq!(code(&ticket.wait().unwrap_err()), LlmErrorCode::Cancelled);
    let token = CancelToken::new();
    let mut job = llm("q");
    job.call.cancel = token.clone();
    let ticket = pool.submit(job).unwrap();
    token.cancel();
    assert_eq!(code(&ticket.wait().unwrap_err()), LlmErrorCode::Cancelled);
    let mut dead = embed("m", &["a"]);
    dead.call.cancel = token;
    assert_eq!(code(&pool.call(dead).unwrap_err()), LlmErrorCode::Cancelled);
    drop(pool.submit(llm("q")).unwrap());
    hang.cancel();
    assert_eq!(code(&hang.wait().unwrap_err()), LlmErrorCode::Cancelled);
    until(|| pool.stats().queued == 0);
    assert_eq!(runner.order.lock().unwrap().len(), 1, "only the first one ran");
    let stats = pool.stats();
    assert_eq!((stats.expired, stats.cancelled, stats.accepted), (1, 5, 6));
    assert_identity(&stats);
}

#[test]
fn a_running_job_that_ignores_its_deadline_is_answered_for() {
    let (pool, _) = pool(1);
    let mut job = llm("stuck");
    job.call.deadline = Some(Deadline::after_ms(30));
    let started = Instant::now();
    assert_eq!(code(&pool.call(job).unwrap_err()), LlmErrorCode::Timeout);
    assert!(started.elapsed() < Duration::from_millis(1_900), "{:?}", started.elapsed());
    assert!(pool.call(llm("q")).is_ok());
    assert_identity(&pool.stats());
}

#[test]
fn the_last_cancelled_job_cancels_the_shared_call() {
    let runner = Arc::new(Scripted { fast_door: Some(Door::default()), ..Scripted::default() });
    let mut limits = limits(1);
    limits.batch_wait_ms = 100;
    let pool = Pool::start(limits, runner.clone()).unwrap();
    let tickets: Vec<_> = ["a", "b"].iter().map(|t| pool.submit(embed("m", &[t])).unwrap()).collect();
    until(|| runner.embed_calls.lock().unwrap().len() == 1);
    for ticket in &tickets {
        ticket.cancel();
    }
    // The only worker is free again although the door stays shut.
    assert!(pool.call(llm("q")).is_ok());
}

#[test]
fn tickets_are_futures_too() {
    struct Flag(Mutex<bool>, Condvar);
    impl std::task::Wake for Flag {
        fn wake(self: Arc<Self>) {
            *self.0.lock().unwrap() = true;
            self.1.notify_all();
        }
    }
    let (pool, runner) = pool(1);
    let mut ticket = pool.submit(llm("hang")).unwrap();
    let flag = Arc::new(Flag(Mutex::new(false), Condvar::new()));
    let waker = flag.clone().into();
    let mut context = std::task::Context::from_waker(&waker);
    assert!(std::pin::Pin::new(&mut ticket).poll(&mut context).is_pending());
    assert!(ticket.try_take().is_none() && !ticket.is_done());
    runner.door.open();
    let woken = flag.1.wait_timeout_while(flag.0.lock().unwrap(), Duration::from_secs(20), |w| !*w).unwrap();
    assert!(*woken.0);
    assert!(std::pin::Pin::new(&mut ticket).poll(&mut context).is_ready());
}

#[test]
fn resize_drops_nothing() {
    let (pool, runner) = pool(1);
    let tickets: Vec<_> = (0..40).map(|_| pool.submit(llm("hang")).unwrap()).collect();
    pool.set_limits(limits(8)).unwrap();
    until(|| runner.llm_now.load(Ordering::SeqCst) == 6);
    pool.set_limits(limits(2)).unwrap();
    pool.set_limits(limits(5)).unwrap();
    runner.door.open();
    for ticket in tickets {
        ticket.wait().unwrap();
    }
    until(|| pool.stats().threads == 5);
    assert_eq!(pool.stats().completed, 40);
}

#[test]
fn stop_finishes_cancels_and_joins() {
    let (pool, runner) = pool(2);
    let quick = pool.submit(llm("q")).unwrap();
    let hanging: Vec<_> = (0..3).map(|_| pool.submit(llm("hang")).unwrap()).collect();
    pool.stop(Duration::from_secs(1));
    assert!(quick.wait().is_ok());
    for ticket in hanging {
        assert_eq!(code(&ticket.wait().unwrap_err()), LlmErrorCode::Cancelled);
    }
    assert_eq!(pool.submit(llm("q")).err().unwrap().code, LlmErrorCode::Cancelled);
    assert_eq!((pool.stats().threads, Arc::strong_count(&runner)), (0, 2));
    pool.stop(Duration::ZERO);
    assert!(pool.set_limits(limits(3)).is_err());
    drop(pool);
    assert_eq!(Arc::strong_count(&runner), 1);
}

/// A small deterministic generator, so that a failing run can be repeated.
struct Random(u64);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

fn random_job(random: &mut Random) -> Job {
    let prompts = ["fine", "fine", "fail", "panic"];
    let models = ["m", "m", "n", "fail", "panic", "few"];
    let mut job = if random.below(3) == 0 {
        llm(prompts[random.below(4) as usize])
    } else {
        let inputs: Vec<String> = (0..=random.below(40)).map(|_| format!("t{}", random.below(50))).collect();
        embed(models[random.below(6) as usize], &inputs.iter().map(String::as_str).collect::<Vec<_>>())
    };
    job.call.caller = format!("c{}", random.below(5));
    if random.below(3) == 0 {
        job.call.priority = Priority::Background;
    }
    if random.below(8) == 0 {
        job.call.deadline = Some(Deadline::after_ms(random.below(3)));
    }
    job.with_submit_timeout_ms(if random.below(2) == 0 { 0 } else { 5 })
}

#[test]
fn random_load_with_a_stop_in_the_middle_keeps_the_books() {
    let runner = Arc::new(Scripted::default());
    let mut limits = limits(6);
    limits.queue_max_jobs = 200;
    let pool = Pool::start(limits, runner).unwrap();
    let outcomes: Mutex<HashMap<&str, u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for seed in 1..=8 {
            let (pool, outcomes) = (&pool, &outcomes);
            scope.spawn(move || {
                let mut random = Random(seed * 0x9E37_79B9);
                let mut held = Vec::new();
                let count = |what| *outcomes.lock().unwrap().entry(what).or_insert(0) += 1;
                for _ in 0..1_250 {
                    match pool.submit(random_job(&mut random)) {
                        Ok(ticket) if random.below(10) == 0 => ticket.cancel(),
                        Ok(ticket) => held.push(ticket),
                        Err(_) => count("refused"),
                    }
                    while held.len() > 20 {
                        let at = random.below(held.len() as u64) as usize;
                        count(if held.swap_remove(at).wait().is_ok() { "ok" } else { "error" });
                    }
                    assert_identity(&pool.stats());
                }
                for ticket in held {
                    count(if ticket.wait().is_ok() { "ok" } else { "error" });
                }
            });
        }
        scope.spawn(|| {
            until(|| pool.stats().accepted > 3_000);
            let mut fewer = limits;
            fewer.threads = 3;
            pool.set_limits(fewer).unwrap();
            until(|| pool.stats().accepted > 5_000);
            pool.stop(Duration::from_millis(20));
        });
    });
    let stats = pool.stats();
    assert_identity(&stats);
    assert_eq!((stats.queued, stats.active, stats.queued_bytes, stats.threads), (0, 0, 0, 0));
    let answered: u64 =
        outcomes.lock().unwrap().iter().filter(|(what, _)| **what != "refused").map(|(_, n)| n).sum();
    assert!(answered > 0 && answered <= stats.accepted);
    assert!(stats.completed > 0 && stats.failed > 0 && stats.cancelled > 0, "{stats:?}");
}
