//! The listener under the configuration's control: addresses and certificates as variables say them; it serves nothing itself.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use mcp_config::{ListenerChange, ListenerState, Variables};
use mcp_server::{Listeners, Server, ServerError, Tls, TlsConfig};

/// What the variables say about the listener.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ListenerSettings {
    /// Whether it is on.
    pub enabled: bool,
    /// Its addresses.
    pub addresses: Vec<SocketAddr>,
    /// Whether it speaks TLS.
    pub use_ssl: bool,
    /// Certificate and key; `None` means a self-signed one in the data folder.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Authorities of client certificates; set means that clients need one.
    pub client_ca: Option<PathBuf>,
    /// Whether TLS 1.2 is refused.
    pub tls13_only: bool,
}

impl ListenerSettings {
    pub(crate) fn of(variables: &Variables, data_dir: &Path) -> Self {
        let port: u16 = variables.int("port");
        let hosts = variables.list("bind_address");
        let addresses = hosts.iter().filter_map(|host| host.parse::<IpAddr>().ok());
        let file = |name: &str| {
            let text = variables.text(name);
            (!text.is_empty()).then(|| data_dir.join(text))
        };
        Self {
            enabled: variables.flag("enabled"),
            addresses: addresses.map(|host| SocketAddr::new(host, port)).collect(),
            use_ssl: variables.flag("use_ssl"),
            certificate: file("ssl_cert_file").zip(file("ssl_key_file")),
            client_ca: file("ssl_client_ca_file"),
            tls13_only: variables.text("ssl_min_version") == "1.3",
        }
    }
}

/// What the command line decides for this process, whatever the variables say.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ListenerOverrides {
    /// The address; the listener is on then.
    pub address: Option<SocketAddr>,
    /// Plain HTTP.
    pub plain: bool,
}

impl ListenerOverrides {
    /// An address, plain HTTP or not.
    #[must_use]
    pub fn new(address: Option<SocketAddr>, plain: bool) -> Self {
        Self { address, plain }
    }

    fn change(&self, mut settings: ListenerSettings) -> ListenerSettings {
        if let Some(address) = self.address {
            settings.enabled = true;
            settings.addresses = vec![address];
        }
        settings.use_ssl &= !self.plain;
        settings
    }

    fn words(&self) -> &'static str {
        match (self.address.is_some(), self.plain) {
            (true, true) => "address and plain HTTP come from the command line",
            (true, false) => "the address comes from the command line",
            (false, true) => "plain HTTP comes from the command line",
            (false, false) => "",
        }
    }
}

/// Starts, moves and stops the listener.
pub trait ListenerControl: Send + Sync {
    /// Brings the listener to these settings. Running calls finish.
    ///
    /// # Errors
    /// Why it cannot; the old listener stays then.
    fn apply(&self, settings: &ListenerSettings) -> Result<ListenerChange, String>;

    /// The listener as it is.
    fn state(&self) -> ListenerState;
}

/// The listener of a server on threads of its own.
#[derive(Debug)]
pub struct ServerListener {
    listeners: Listeners,
    data_dir: PathBuf,
    overrides: ListenerOverrides,
    now: Mutex<Now>,
}

#[derive(Debug, Default)]
struct Now {
    settings: Option<ListenerSettings>,
    certificate: Option<PathBuf>,
    fault: String,
}

impl ServerListener {
    /// No listener yet.
    ///
    /// # Errors
    /// When the runtime cannot start.
    pub fn new(
        server: Server,
        data_dir: impl Into<PathBuf>,
        overrides: ListenerOverrides,
        threads: usize,
    ) -> Result<Self, ServerError> {
        let listeners = Listeners::new(server, threads)?;
        Ok(Self { listeners, data_dir: data_dir.into(), overrides, now: Mutex::default() })
    }

    /// The addresses that accept connections.
    #[must_use]
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.listeners.addresses()
    }

    /// The file with the certificate that clients see; `None` for plain HTTP.
    #[must_use]
    pub fn certificate(&self) -> Option<PathBuf> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner).certificate.clone()
    }

    /// Ends all listeners; running calls finish within the grace time.
    pub fn stop(&self) {
        self.listeners.stop();
    }

    fn tls(&self, settings: &ListenerSettings) -> Result<Option<(Tls, PathBuf)>, String> {
        if !settings.use_ssl {
            return Ok(None);
        }
        let mut config = match &settings.certificate {
            Some((cert, key)) => TlsConfig::new(cert, key),
            None => {
                let names: Vec<String> = settings.addresses.iter().map(|a| a.ip().to_string()).collect();
                TlsConfig::self_signed(&self.data_dir, &names).map_err(|e| e.to_string())?
            }
        };
        config.client_ca_file.clone_from(&settings.client_ca);
        config.tls13_only = settings.tls13_only;
        let file = config.cert_file.clone();
        Ok(Some((Tls::load(config).map_err(|e| e.to_string())?, file)))
    }

    fn switch(&self, wanted: &ListenerSettings, now: &mut Now) -> Result<ListenerChange, String> {
        let was_on = !self.listeners.addresses().is_empty();
        if !wanted.enabled {
            self.listeners.listen(&[], None).map_err(|e| e.to_string())?;
            return Ok(if was_on { ListenerChange::StopScheduled } else { ListenerChange::Unchanged });
        }
        let (tls, file) = self.tls(wanted)?.map_or((None, None), |(tls, file)| (Some(tls), Some(file)));
        self.listeners.listen(&wanted.addresses, tls).map_err(|e| e.to_string())?;
        now.certificate = file;
        Ok(if was_on { ListenerChange::RestartScheduled } else { ListenerChange::Started })
    }
}

impl ListenerControl for ServerListener {
    fn apply(&self, settings: &ListenerSettings) -> Result<ListenerChange, String> {
        let wanted = self.overrides.change(settings.clone());
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if now.settings.as_ref() == Some(&wanted) && now.fault.is_empty() {
            return Ok(ListenerChange::Unchanged);
        }
        match self.switch(&wanted, &mut now) {
            Ok(change) => {
                now.settings = Some(wanted);
                now.fault.clear();
                tracing::info!(change = change.as_str(), "the listener follows the configuration");
                Ok(change)
            }
            Err(cause) => {
                tracing::error!(cause, "the listener cannot follow the configuration");
                now.fault.clone_from(&cause);
                Err(cause)
            }
        }
    }

    fn state(&self) -> ListenerState {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let bound = self.listeners.addresses();
        let mut state = ListenerState::default();
        state.enabled = now.settings.as_ref().is_some_and(|s| s.enabled);
        state.listening = !bound.is_empty();
        let shown: Vec<SocketAddr> = if bound.is_empty() {
            now.settings.as_ref().map(|s| s.addresses.clone()).unwrap_or_default()
        } else {
            bound
        };
        state.bind_address = shown.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>().join(",");
        state.port = shown.first().map_or(0, SocketAddr::port);
        state.use_ssl = now.settings.as_ref().is_some_and(|s| s.use_ssl);
        let off = if state.enabled { "" } else { "mcp-enabled is false" };
        let parts = [now.fault.as_str(), off, self.overrides.words()];
        let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
        state.reason = parts.join("; ");
        state
    }
}
