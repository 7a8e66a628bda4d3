//! The main job from the command line to the last answer: targets, host, listener, harvests, shutdown.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bridge_host::{Host, HostConfig, ListenerOverrides, ServerListener, TargetSpec};
use mcp::Scope;

use crate::admin;
use crate::args::{Args, Command};
use crate::banner::{self, Progress, Served, say};
use crate::{sample, sample_source};

type Failure = Box<dyn std::error::Error>;

/// Threads that carry connections; tools run on threads of their own. A second one would be woken for every request and
/// find nothing to do.
const SERVER_THREADS: usize = 1;

pub(crate) fn run(args: &Args) -> Result<(), Failure> {
    if let Some(Command::Admin { statement, data_dir }) = &args.command {
        let folder = data_dir.clone().unwrap_or_else(|| args.folder());
        return admin::run(&folder, args.config.as_deref(), statement);
    }
    if let Some(Command::Audit { file, data_dir }) = &args.command {
        let folder = data_dir.clone().unwrap_or_else(|| args.folder());
        return admin::audit(&folder, file.as_deref());
    }
    args.check()?;
    let folder = args.folder();
    std::fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    let mut config = HostConfig::new(&folder);
    config.targets = targets(args, &folder)?;
    config.config_file.clone_from(&args.config);
    config.allow_privileged_backend = args.allow_privileged_backend;
    let host = Arc::new(Host::open(config)?);
    if let Some(refusal) = host.admin().start_refusal() {
        say(&format!("the configuration is refused, nothing of it runs: {refusal}"));
    }
    turn_on(&host)?;
    match &args.stdio {
        Some(endpoint) => over_stdio(args, &host, endpoint),
        None => over_http(args, &host, &folder),
    }
}

/// The databases of the command line, or the sample, which is made when it is not there yet.
fn targets(args: &Args, folder: &Path) -> Result<Vec<TargetSpec>, Failure> {
    let mut targets = Vec::new();
    for text in &args.targets {
        targets.push(TargetSpec::parse(text)?);
    }
    if let Some(file) = &args.sqlite {
        targets.push(file_target(file)?);
    }
    if targets.is_empty() {
        let file = folder.join(format!("{}.sqlite", sample::TARGET));
        if !file.exists() {
            let started = Instant::now();
            sample::create(&file)?;
            say(&format!(
                "created the sample shop in {:.1} s: {}",
                started.elapsed().as_secs_f64(),
                file.display()
            ));
        }
        let mut target = file_target(&file)?;
        target.description =
            "Sample: an outdoor outfitter with customers, orders, stock, money and web traffic".to_owned();
        targets.push(target);
    }
    let mut seen = BTreeMap::new();
    for target in &mut targets {
        target.rows_max = usize::try_from(args.max_rows).unwrap_or(usize::MAX);
        if seen.insert(target.target_id.clone(), ()).is_some() {
            return Err(format!("the target name {:?} is given twice", target.target_id).into());
        }
    }
    Ok(targets)
}

fn file_target(file: &Path) -> Result<TargetSpec, Failure> {
    let path: PathBuf = std::fs::canonicalize(file).map_err(|e| format!("{}: {e}", file.display()))?;
    let stem = path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let name: String = stem.chars().map(plain).take(64).collect();
    let mut target =
        TargetSpec::parse(&format!("{}=sqlite:x", if name.is_empty() { "main" } else { &name }))?;
    target.connect.host = path.display().to_string();
    Ok(target)
}

fn over_stdio(args: &Args, host: &Arc<Host>, endpoint: &str) -> Result<(), Failure> {
    let path = if endpoint.starts_with('/') { endpoint.to_owned() } else { format!("/mcp/{endpoint}") };
    let server = host.server_builder().anonymous(Scope::Full).build()?;
    let harvests = Harvests::start(host, args.refresh_s);
    let result = mcp_server::serve_stdio_blocking(&server, &path);
    harvests.stop();
    host.close();
    Ok(result?)
}

fn over_http(args: &Args, host: &Arc<Host>, folder: &Path) -> Result<(), Failure> {
    let shown = tokens(args, host)?;
    if args.no_tls {
        say("warning: plain HTTP, tokens travel in the open (--no-tls)");
    }
    let server = host.server_builder().tasks_folder(folder.join("tasks")).build()?;
    host.attach_server(&server);
    let overrides = ListenerOverrides::new(args.listen, args.no_tls);
    let listener = Arc::new(ServerListener::new(server, folder, overrides, SERVER_THREADS)?);
    host.attach_listener(Arc::clone(&listener) as _)?;
    let admin = admin::Socket::open(folder, host)?;
    let endpoints: Vec<(String, usize, Option<String>)> = host
        .registry()
        .endpoints()
        .into_iter()
        .map(|path| (path.clone(), host.registry().tool_count(&path), shown.get(&path).cloned()))
        .collect();
    match listener.addresses().first() {
        Some(address) => banner::show(&Served {
            address: *address,
            certificate: listener.certificate().as_deref(),
            data_dir: folder,
            endpoints: &endpoints,
        }),
        None => say(&format!("not listening: {}", host.admin().listener().line())),
    }
    let harvests = Harvests::start(host, args.refresh_s);
    if host.targets().iter().any(|t| t.target_id == sample::TARGET) {
        sample_source::ensure(host)?;
    }
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(told_to_stop());
    say("stopping: running calls may finish");
    drop(admin);
    listener.stop();
    harvests.stop();
    host.close();
    Ok(())
}

/// A fresh installation listens: that is what this program is for. Later the variable decides.
fn turn_on(host: &Host) -> Result<(), Failure> {
    let admin = host.admin();
    if admin.is_first_start() && admin.get_variable("mcp-enabled")?.origin == mcp_config::Origin::Default {
        let session = mcp_config::AdminSession::local();
        admin.set_variable(&session, "mcp-enabled", "true", mcp_config::Persist::Disk)?;
    }
    Ok(())
}

/// Tokens that may be shown: new ones, and the one of the command line.
fn tokens(args: &Args, host: &Host) -> Result<BTreeMap<String, String>, Failure> {
    let mut shown = BTreeMap::new();
    if let Some(token) = &args.token {
        say("warning: one token for every endpoint, visible in the list of processes (--token)");
        host.use_token("script", token)?;
        return Ok(host.registry().endpoints().into_iter().map(|path| (path, token.clone())).collect());
    }
    for path in host.registry().endpoints() {
        if args.new_tokens || host.token_names(&path).is_empty() {
            shown.insert(path.clone(), host.issue_token(&path, "default", Scope::Full)?);
        }
    }
    Ok(shown)
}

/// Waits for SIGINT or SIGTERM.
async fn told_to_stop() {
    #[cfg(unix)]
    if let Ok(mut terminate) = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = terminate.recv() => {}
        }
        return;
    }
    let _ = tokio::signal::ctrl_c().await;
}

/// Harvests of all targets, in parallel, at start and then on a schedule.
struct Harvests {
    stop: Vec<Sender<()>>,
    threads: Vec<JoinHandle<()>>,
}

impl Harvests {
    fn start(host: &Arc<Host>, refresh_s: u64) -> Self {
        let progress = Arc::new(Progress::default());
        let (mut stop, mut threads) = (Vec::new(), Vec::new());
        for target in host.targets() {
            let (sender, receiver) = channel();
            let (host, progress) = (Arc::clone(host), Arc::clone(&progress));
            threads.push(std::thread::spawn(move || {
                harvest_again_and_again(&host, &target.target_id, refresh_s, &progress, &receiver)
            }));
            stop.push(sender);
        }
        Self { stop, threads }
    }

    /// Ends the schedule; a harvest that is running is not waited for, it leaves nothing half-done behind.
    fn stop(self) {
        drop(self.stop);
        for thread in self.threads {
            if thread.is_finished() {
                let _ = thread.join();
            }
        }
    }
}

/// What the account of a target may do beyond reading.
fn say_account(host: &Host, target: &str) {
    let info = host.targets().into_iter().find(|info| info.target_id == target);
    for finding in info.and_then(|info| info.account).unwrap_or_default() {
        let word = if finding.dangerous { "warning" } else { "note" };
        say(&format!("  {word}: {target}: {}", finding.text));
    }
}

fn harvest_again_and_again(
    host: &Host,
    target: &str,
    refresh_s: u64,
    progress: &Arc<Progress>,
    stop: &Receiver<()>,
) {
    let mut last_objects = None;
    loop {
        let started = Instant::now();
        let (display, name) = (Arc::clone(progress), target.to_owned());
        match host.harvest(target, move |step| display.step(&name, &step.stage, step.progress, step.total)) {
            Ok(report) => {
                if last_objects != Some(report.objects) {
                    progress.done(&format!(
                        "harvested {target}: {} objects, {} undeclared references found, {:.1} s",
                        report.objects,
                        report.inferred_relationships,
                        started.elapsed().as_secs_f64()
                    ));
                    for warning in &report.warnings {
                        say(&format!("  {target}: {warning}"));
                    }
                }
                if last_objects.is_none() {
                    say_account(host, target);
                }
                last_objects = Some(report.objects);
                host.announce();
            }
            Err(error) => progress.done(&format!("harvest of {target} failed: {error}")),
        }
        let wait = if refresh_s == 0 {
            Duration::from_secs(u64::from(u32::MAX))
        } else {
            Duration::from_secs(refresh_s)
        };
        match stop.recv_timeout(wait) {
            Err(RecvTimeoutError::Timeout) if refresh_s > 0 => {}
            _ => return,
        }
    }
}
