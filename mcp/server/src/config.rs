//! Every bound of the server, each with its unit; it does not know where the values come from.

/// The server's settings. Start from [`ServerConfig::default`] and set what differs.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// Accepted `Origin` values, exact, or with `:*` for any port.
    pub allowed_origins: Vec<String>,
    /// Accepted host names besides `localhost` and IP addresses; on connections that are not loopback an empty list accepts all.
    pub allowed_hosts: Vec<String>,
    /// Largest request body, in bytes.
    pub body_bytes_max: usize,
    /// Largest result, in bytes.
    pub response_bytes_max: usize,
    /// Requests served at once.
    pub requests_max: usize,
    /// How long a request above `requests_max` waits before 503.
    pub request_wait_ms: u64,
    /// Blocking calls run at once.
    pub calls_max: usize,
    /// Time of a whole tool call; 0 means none.
    pub call_timeout_ms: u64,
    /// How long a cancelled call may take to come back before it is left behind.
    pub cancel_grace_ms: u64,
    /// How long a client may take to send the head of a request; also how long an idle connection is kept.
    pub header_timeout_ms: u64,
    /// How long a client may take to send a body.
    pub body_timeout_ms: u64,
    /// How long a client may take none of an answer that is ready.
    pub write_timeout_ms: u64,
    /// Open client connections.
    pub connections_max: usize,
    /// Open event streams that wait for changes.
    pub streams_max: usize,
    /// Silence on an event stream after which a comment is sent.
    pub keep_alive_ms: u64,
    /// How long a call may stay silent before its answer becomes an event stream (where the client accepts one).
    pub stream_after_ms: u64,
    /// Sessions of legacy clients, over all endpoints.
    pub sessions_max: usize,
    /// Idle time after which a session ends.
    pub session_idle_ms: u64,
    /// Events kept per stream for a client that resumes.
    pub stream_events_max: usize,
    /// Bytes kept per stream for a client that resumes.
    pub stream_bytes_max: usize,
    /// How long a resumable call goes on after its client lost the stream.
    pub resume_grace_ms: u64,
    /// How long a question to the client may stay open.
    pub ask_timeout_ms: u64,
    /// Tasks kept, finished ones included.
    pub tasks_max: usize,
    /// Bytes of results kept by finished tasks; above, no new task is created.
    pub task_results_bytes_max: usize,
    /// Tasks run at once.
    pub tasks_running_max: usize,
    /// Time of a whole task.
    pub task_timeout_ms: u64,
    /// How long a task can be fetched after its creation.
    pub task_ttl_ms: u64,
    /// How often clients should ask for a task's state.
    pub task_poll_interval_ms: u64,
    /// Requests per token and minute; 0 means no limit. A token's own rate wins.
    pub rate_limit_per_min: u32,
    /// Failed authentications per client address and minute.
    pub auth_failures_per_min_max: u32,
    /// Addresses and tokens whose counters are kept.
    pub counters_max: usize,
    /// How long a shutdown waits for running calls.
    pub shutdown_grace_ms: u64,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            allowed_origins: Vec::new(),
            allowed_hosts: Vec::new(),
            body_bytes_max: 1 << 20,
            response_bytes_max: 5_000_000,
            requests_max: 64,
            request_wait_ms: 1000,
            calls_max: 64,
            call_timeout_ms: 30_000,
            cancel_grace_ms: 1000,
            header_timeout_ms: 30_000,
            body_timeout_ms: 30_000,
            write_timeout_ms: 30_000,
            connections_max: 1024,
            streams_max: 256,
            keep_alive_ms: 15_000,
            stream_after_ms: 10_000,
            sessions_max: 1024,
            session_idle_ms: 1_800_000,
            stream_events_max: 256,
            stream_bytes_max: 1 << 20,
            resume_grace_ms: 5000,
            ask_timeout_ms: 300_000,
            tasks_max: 1024,
            task_results_bytes_max: 64 << 20,
            tasks_running_max: 16,
            task_timeout_ms: 3_600_000,
            task_ttl_ms: 3_600_000,
            task_poll_interval_ms: 500,
            rate_limit_per_min: 0,
            auth_failures_per_min_max: 30,
            counters_max: 4096,
            shutdown_grace_ms: 10_000,
        }
    }
}
