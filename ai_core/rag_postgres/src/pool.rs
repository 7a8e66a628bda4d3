//! A bounded pool of connections, each with its prepared statements; it knows no table.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use ai_core::{AiResult, Deadline};
use postgres::{Client, NoTls, Statement, Transaction};

use crate::errors::failed;

/// Prepared statements of one connection; with more, all are forgotten.
const STATEMENTS_MAX: usize = 256;

/// Opens a connection; a host that wants TLS opens it here.
pub type PgConnect = Arc<dyn Fn() -> AiResult<Client> + Send + Sync>;

/// Connections without TLS to a `postgres://` address, for servers on the same machine or network.
#[must_use]
pub fn plain_connector(address: impl Into<String>) -> PgConnect {
    let address = address.into();
    Arc::new(move || Client::connect(&address, NoTls).map_err(failed))
}

/// Gives the password when a connection is opened, so that nobody keeps it.
pub type PgPassword = Arc<dyn Fn() -> AiResult<String> + Send + Sync>;

/// Connections without TLS to a `postgres://` address without a password, which `password` gives.
#[must_use]
pub fn connector(address: impl Into<String>, password: PgPassword) -> PgConnect {
    let address = address.into();
    Arc::new(move || {
        let mut config: postgres::Config = address
            .parse()
            .map_err(|_| ai_core::AiError::invalid("the address of the PostgreSQL store cannot be read"))?;
        let password = password()?;
        if !password.is_empty() {
            config.password(password);
        }
        config.connect_timeout(Duration::from_secs(10)).connect(NoTls).map_err(failed)
    })
}

/// Statements that a connection has prepared, by their text as the store wrote it.
#[derive(Default)]
pub(crate) struct Statements(HashMap<String, Statement>);

impl Statements {
    /// The statement of a text, prepared the first time.
    pub(crate) fn get(&mut self, tx: &mut Transaction<'_>, text: &str) -> AiResult<Statement> {
        if let Some(held) = self.0.get(text) {
            return Ok(held.clone());
        }
        if self.0.len() >= STATEMENTS_MAX {
            self.0.clear();
        }
        let made = tx.prepare(&crate::spell::spelled(text)).map_err(failed)?;
        self.0.insert(text.to_owned(), made.clone());
        Ok(made)
    }
}

pub(crate) struct Lent {
    pub(crate) client: Client,
    pub(crate) statements: Statements,
}

pub(crate) struct Pool {
    connect: PgConnect,
    connections_max: usize,
    state: Mutex<(Vec<Lent>, usize)>,
    freed: Condvar,
}

impl Pool {
    pub(crate) fn new(connect: PgConnect, connections_max: usize) -> Self {
        Self {
            connect,
            connections_max: connections_max.max(1),
            state: Mutex::new((Vec::new(), 0)),
            freed: Condvar::new(),
        }
    }

    /// Takes a connection that `greet` has prepared if it is new.
    fn take(
        &self,
        deadline: Deadline,
        greet: &dyn Fn(&mut Client) -> AiResult<()>,
    ) -> AiResult<(Lent, bool)> {
        let mut pool = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(lent) = pool.0.pop() {
                if lent.client.is_closed() {
                    pool.1 -= 1;
                    continue;
                }
                return Ok((lent, false));
            }
            if pool.1 < self.connections_max {
                pool.1 += 1;
                drop(pool);
                let opened = (self.connect)().and_then(|mut client| greet(&mut client).map(|()| client));
                return match opened {
                    Ok(client) => Ok((Lent { client, statements: Statements::default() }, true)),
                    Err(error) => {
                        self.forget();
                        Err(error)
                    }
                };
            }
            deadline.check("a connection to the PostgreSQL store was free")?;
            let wait = deadline.remaining().min(Duration::from_millis(200));
            pool = self.freed.wait_timeout(pool, wait).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn forget(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 -= 1;
        self.freed.notify_one();
    }

    fn give_back(&self, lent: Lent) {
        if lent.client.is_closed() {
            self.forget();
        } else {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).0.push(lent);
            self.freed.notify_one();
        }
    }

    /// Runs `work` on a connection. A pooled connection that the server has closed meanwhile is replaced, as long as `work`
    /// has not begun: `start` tells.
    pub(crate) fn with<T>(
        &self,
        deadline: Deadline,
        greet: &dyn Fn(&mut Client) -> AiResult<()>,
        start: &dyn Fn(&mut Client) -> AiResult<()>,
        work: &mut dyn FnMut(&mut Lent) -> AiResult<T>,
    ) -> AiResult<T> {
        loop {
            let (mut lent, fresh) = self.take(deadline, greet)?;
            if let Err(error) = start(&mut lent.client) {
                let closed = lent.client.is_closed();
                self.give_back(lent);
                if closed && !fresh {
                    continue;
                }
                return Err(error);
            }
            let mut guard = Guard { pool: self, lent: Some(lent) };
            let Some(lent) = guard.lent.as_mut() else {
                return Err(ai_core::AiError::internal("a connection was lost"));
            };
            return work(lent);
        }
    }
}

/// Gives the connection back however the work ends.
struct Guard<'a> {
    pool: &'a Pool,
    lent: Option<Lent>,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if let Some(lent) = self.lent.take() {
            if std::thread::panicking() {
                self.pool.forget();
            } else {
                self.pool.give_back(lent);
            }
        }
    }
}
