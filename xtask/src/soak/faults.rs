//! What goes wrong during a soak, one thing after the other, and how long it takes until every target answers again.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::Random;
use super::clients::{self, Fleet, Outcome};
use super::servers::Databases;

/// The longest wait for an answer after a fault.
const PATIENCE: Duration = Duration::from_secs(60);
/// Callers that fill a pool.
const CROWD: usize = 60;

const KINDS: &[&str] = &[
    "all sessions killed",
    "running statements killed",
    "primary restarted",
    "MariaDB restarted",
    "replica gone for 10 s",
    "replica frozen for 5 s",
    "pool full of slow calls",
    "clients gone mid-call",
];

/// What was seen of one kind.
pub(super) struct Seen {
    pub(super) times: usize,
    pub(super) median: Duration,
    pub(super) longest: Duration,
}

/// The faults of a run.
pub(super) struct Faults {
    random: Random,
    address: SocketAddr,
    seen: BTreeMap<&'static str, Vec<Duration>>,
    last: String,
}

impl Faults {
    pub(super) fn new(seed: u64, address: SocketAddr) -> Self {
        Self { random: Random(seed), address, seen: BTreeMap::new(), last: String::new() }
    }

    /// Some quiet seconds.
    pub(super) fn pause(&mut self) {
        std::thread::sleep(Duration::from_secs(5 + self.random.below(8)));
    }

    pub(super) fn last(&self) -> &str {
        &self.last
    }

    /// Lets one thing go wrong, and waits until everything answers.
    pub(super) fn one(&mut self, databases: &mut Databases, fleet: &Fleet) -> Result<(), String> {
        let kind = KINDS[self.random.below(KINDS.len() as u64) as usize];
        let calls = fleet.total();
        match kind {
            "all sessions killed" => drop(databases.kill_sessions(false)?),
            "running statements killed" => self.kill_running(databases)?,
            "primary restarted" => {
                databases.primary.stop();
                databases.primary.start()?;
            }
            "MariaDB restarted" => {
                databases.mariadb.stop();
                databases.mariadb.start()?;
            }
            "replica gone for 10 s" => {
                databases.replica.stop();
                std::thread::sleep(Duration::from_secs(10));
                databases.replica.start()?;
            }
            "replica frozen for 5 s" => {
                databases.replica.freeze(true)?;
                std::thread::sleep(Duration::from_secs(5));
                databases.replica.freeze(false)?;
            }
            "pool full of slow calls" => self.fill_pools(),
            _ => self.hang_up(),
        }
        let took = self.recovery(databases)?;
        self.seen.entry(kind).or_default().push(took);
        self.last = format!(
            "{kind}: every target answers after {:.1} s; {} calls meanwhile",
            took.as_secs_f64(),
            fleet.total().saturating_sub(calls)
        );
        Ok(())
    }

    fn recovery(&self, databases: &Databases) -> Result<Duration, String> {
        let begin = Instant::now();
        for name in databases.names() {
            loop {
                match clients::probe(self.address, &name) {
                    Outcome::Right => break,
                    Outcome::Wrong(text) => {
                        return Err(format!("{name} answers wrongly after a fault: {text}"));
                    }
                    _ if begin.elapsed() > PATIENCE => {
                        return Err(format!("{name} does not answer any more"));
                    }
                    _ => std::thread::sleep(Duration::from_millis(50)),
                }
            }
        }
        Ok(begin.elapsed())
    }

    /// Statements that run for seconds lose their session.
    fn kill_running(&self, databases: &Databases) -> Result<(), String> {
        let address = self.address;
        let slow = ["primary", "mariadb"].map(|name| {
            std::thread::spawn(move || {
                let sql = if name == "mariadb" { SLOW_MARIADB } else { SLOW_POSTGRES };
                clients::send(address, name, sql)
            })
        });
        std::thread::sleep(Duration::from_millis(700));
        databases.kill_sessions(true)?;
        for thread in slow {
            match thread.join().map_err(|_| "a caller panicked")? {
                Outcome::Refused(_) | Outcome::Right => {}
                other => return Err(format!("a statement whose session was killed ended as {other:?}")),
            }
        }
        Ok(())
    }

    fn fill_pools(&self) {
        let address = self.address;
        let crowd: Vec<_> = (0..CROWD)
            .map(|number| {
                let (name, sql) =
                    if number % 2 == 0 { ("primary", SLOW_POSTGRES) } else { ("mariadb", SLOW_MARIADB) };
                std::thread::spawn(move || clients::send(address, name, sql))
            })
            .collect();
        for caller in crowd {
            let _ = caller.join();
        }
    }

    /// Callers that go away while their statement runs.
    fn hang_up(&self) {
        let sockets: Vec<_> = (0..CROWD / 2)
            .filter_map(|number| {
                let (name, sql) =
                    if number % 2 == 0 { ("primary", SLOW_POSTGRES) } else { ("mariadb", SLOW_MARIADB) };
                let mut socket = clients::connect(self.address)?;
                socket.write_all(&clients::request(name, sql)).ok()?;
                Some(socket)
            })
            .collect();
        std::thread::sleep(Duration::from_millis(300));
        drop(sockets);
    }

    pub(super) fn summary(&self) -> Vec<(&'static str, Seen)> {
        self.seen
            .iter()
            .map(|(kind, times)| {
                let mut sorted = times.clone();
                sorted.sort_unstable();
                let at = |at: usize| sorted.get(at).copied().unwrap_or_default();
                let (median, longest) = (at(sorted.len() / 2), at(sorted.len().saturating_sub(1)));
                (*kind, Seen { times: sorted.len(), median, longest })
            })
            .collect()
    }
}

/// About two seconds of work each; functions that only wait are refused by the gate.
const SLOW_POSTGRES: &str =
    "SELECT count(*) AS n FROM item a, item b, item c WHERE a.id + b.id + c.id < 0 AND a.id < 60";
const SLOW_MARIADB: &str =
    "SELECT count(*) AS n FROM item a, item b, item c WHERE a.id + b.id + c.id < 0 AND a.id < 60";
