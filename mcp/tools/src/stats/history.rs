//! `show_system_history`, `show_query_cache_history`, `show_connection_history`: samples over time from the history's file.

use mcp::{ToolError, ToolResult};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::process;
use super::shared::{Aim, DbType, Side, common_args, is_server, may_name_target, ratio, typed};
use super::show_connections::Server;
use super::store::{CONNECTIONS, CPU, MEMORY, POOL, QUERY_CACHE};
use crate::deps::{Call, Frame};
use crate::ops::{OpsDeps, OpsTool, now_s};
use crate::schema::OutputSchema;

pub(super) struct ShowSystemHistory;
pub(super) struct ShowQueryCacheHistory;
pub(super) struct ShowConnectionHistory;

/// How far back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
enum Interval {
    #[serde(rename = "30m")]
    Minutes30,
    #[default]
    #[serde(rename = "1h")]
    Hours1,
    #[serde(rename = "2h")]
    Hours2,
    #[serde(rename = "4h")]
    Hours4,
    #[serde(rename = "6h")]
    Hours6,
    #[serde(rename = "8h")]
    Hours8,
    #[serde(rename = "12h")]
    Hours12,
    #[serde(rename = "1d")]
    Days1,
    #[serde(rename = "3d")]
    Days3,
    #[serde(rename = "7d")]
    Days7,
    #[serde(rename = "30d")]
    Days30,
    #[serde(rename = "90d")]
    Days90,
}

/// How dense the samples are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Resolution {
    Raw,
    Hourly,
}

impl Interval {
    const fn seconds(self) -> i64 {
        match self {
            Self::Minutes30 => 1_800,
            Self::Hours1 => 3_600,
            Self::Hours2 => 2 * 3_600,
            Self::Hours4 => 4 * 3_600,
            Self::Hours6 => 6 * 3_600,
            Self::Hours8 => 8 * 3_600,
            Self::Hours12 => 12 * 3_600,
            Self::Days1 => 86_400,
            Self::Days3 => 3 * 86_400,
            Self::Days7 => 7 * 86_400,
            Self::Days30 => 30 * 86_400,
            Self::Days90 => 90 * 86_400,
        }
    }

    const fn resolution(self) -> Resolution {
        if self.seconds() <= 6 * 3_600 { Resolution::Raw } else { Resolution::Hourly }
    }

    /// The samples of a series.
    fn read(self, deps: &OpsDeps, series: &super::store::Series) -> ToolResult<Vec<Map<String, Value>>> {
        let since = now_s().saturating_sub(self.seconds());
        deps.stats.store()?.read_series(series, since, self.resolution() == Resolution::Hourly)
    }
}

/// Which figures of the process.
#[derive(Debug, Clone, Copy, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Metric {
    Cpu,
    Memory,
    #[default]
    All,
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SystemArgs {
    /// Which figures.
    #[serde(default)]
    metric: Metric,
    /// How far back: samples as they were taken up to 6h, by the hour beyond.
    #[serde(default)]
    interval: Interval,
}

/// CPU time since the process started, in ticks.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Cpu {
    timestamp: i64,
    tms_utime: i64,
    tms_stime: i64,
}

/// Memory in bytes; null where the allocator does not report it.
#[derive(Serialize, Deserialize, JsonSchema)]
struct Memory {
    timestamp: i64,
    allocated: Option<i64>,
    resident: Option<i64>,
    active: Option<i64>,
    mapped: Option<i64>,
    metadata: Option<i64>,
    retained: Option<i64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct System {
    /// How far back.
    interval: Interval,
    /// raw or hourly.
    resolution: Resolution,
    /// Ticks a second.
    ticks_per_s: u64,
    /// Samples of CPU time, oldest first.
    cpu: Vec<Cpu>,
    /// Samples of memory, oldest first.
    memory: Vec<Memory>,
}

impl OpsTool for ShowSystemHistory {
    type Args = SystemArgs;
    type Output = System;
    const NAME: &'static str = "show_system_history";
    const TITLE: &'static str = "CPU and memory over time";
    const TEXT: &'static str = "Shows the CPU time and the memory of this server's process over time.";
    const TOOLSET: &'static str = "stats";

    fn example() -> (&'static str, Value) {
        ("Memory of the last day", json!({"metric": "memory", "interval": "1d"}))
    }

    fn run(deps: &OpsDeps, _: &mut Call<'_>, args: SystemArgs) -> ToolResult<(System, Frame)> {
        if process::cpu_ticks().is_none() && process::memory_bytes().is_none() {
            return Err(ToolError::precondition("the operating system tells no figures of processes here")
                .with("reason", "os_tells_nothing"));
        }
        let cpu =
            if args.metric == Metric::Memory { Vec::new() } else { typed(args.interval.read(deps, &CPU)?)? };
        let memory =
            if args.metric == Metric::Cpu { Vec::new() } else { typed(args.interval.read(deps, &MEMORY)?)? };
        let (interval, resolution) = (args.interval, args.interval.resolution());
        Ok((System { interval, resolution, ticks_per_s: process::TICKS_PER_S, cpu, memory }, Frame::new()))
    }
}

common_args! {
    pub(super) struct CacheArgs {
        /// How far back: samples as they were taken up to 6h, by the hour beyond.
        #[serde(default)]
        interval: Interval,
    }
}

/// Counters since start, and what the cache held.
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(non_snake_case, reason = "the habitual names")]
struct CacheSample {
    timestamp: i64,
    count_GET: u64,
    count_GET_OK: u64,
    count_SET: u64,
    bytes_IN: u64,
    bytes_OUT: u64,
    entries_purged: u64,
    entries_in_cache: u64,
    memory_bytes: u64,
    /// Null before the first GET.
    #[serde(default)]
    hit_rate: Option<f64>,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Cache {
    /// Engine.
    db_type: DbType,
    /// Always host: it is the cache of this server.
    origin: Side,
    /// How far back.
    interval: Interval,
    /// raw or hourly.
    resolution: Resolution,
    /// The samples, oldest first.
    data: Vec<CacheSample>,
}

impl OpsTool for ShowQueryCacheHistory {
    type Args = CacheArgs;
    type Output = Cache;
    const NAME: &'static str = "show_query_cache_history";
    const TITLE: &'static str = "Result cache over time";
    const TEXT: &'static str =
        "Shows the counters and the size of the result cache over time; one cache serves all engines.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("The last four hours", json!({"interval": "4h"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: CacheArgs) -> ToolResult<(Cache, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let mut data: Vec<CacheSample> = typed(args.interval.read(deps, &QUERY_CACHE)?)?;
        for sample in &mut data {
            let gets = sample.count_GET;
            sample.hit_rate = (gets > 0).then(|| ratio(sample.count_GET_OK, gets));
        }
        let (interval, resolution) = (args.interval, args.interval.resolution());
        Ok((Cache { db_type: aim.db_type(), origin: Side::Host, interval, resolution, data }, aim.frame()))
    }
}

/// Of what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum Scope {
    #[default]
    Global,
    PerServer,
    All,
}

common_args! {
    pub(super) struct ConnectionArgs {
        /// How far back: samples as they were taken up to 6h, by the hour beyond.
        #[serde(default)]
        interval: Interval,
        /// Of the whole server, of each database server, or both.
        #[serde(default)]
        scope: Scope,
        /// Only database servers of this group.
        #[schemars(range(min = 0, max = 4_294_967_295_u64))]
        hostgroup: Option<i64>,
        /// Only this database server: host:port, or the path of a file.
        #[schemars(length(min = 1, max = 1024))]
        server: Option<String>,
    }
}

/// Counters since start.
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(non_snake_case, reason = "the habitual names")]
struct Connections {
    timestamp: i64,
    Client_Connections_aborted: i64,
    Client_Connections_connected: i64,
    Client_Connections_created: i64,
    Server_Connections_aborted: i64,
    Server_Connections_connected: i64,
    Server_Connections_created: i64,
    ConnPool_get_conn_failure: i64,
    ConnPool_get_conn_immediate: i64,
    ConnPool_get_conn_success: i64,
    Questions: i64,
    Slow_queries: i64,
}

/// Counters of the pools since start.
#[derive(Serialize, Deserialize, JsonSchema)]
#[expect(non_snake_case, reason = "the habitual names")]
struct Pools {
    timestamp: i64,
    MyHGM_myconnpoll_destroy: i64,
    MyHGM_myconnpoll_get: i64,
    MyHGM_myconnpoll_get_ok: i64,
    MyHGM_myconnpoll_push: i64,
    MyHGM_myconnpoll_reset: i64,
}

#[derive(Serialize, JsonSchema)]
struct Global {
    connections: Vec<Connections>,
    myhgm: Vec<Pools>,
}

/// A row of show_connections with its moment.
#[derive(Serialize, Deserialize, JsonSchema)]
struct PoolSample {
    timestamp: i64,
    #[serde(flatten)]
    server: Server,
}

#[derive(Serialize, JsonSchema)]
pub(super) struct Connection {
    /// Engine.
    db_type: DbType,
    /// Always host: these are pools and clients of this server.
    origin: Side,
    /// How far back.
    interval: Interval,
    /// raw or hourly.
    resolution: Resolution,
    /// Of what.
    scope: Scope,
    /// The whole server, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    global: Option<Global>,
    /// Each database server, oldest first.
    #[serde(skip_serializing_if = "Option::is_none")]
    per_server: Option<Vec<PoolSample>>,
}

impl OpsTool for ShowConnectionHistory {
    type Args = ConnectionArgs;
    type Output = Connection;
    const NAME: &'static str = "show_connection_history";
    const TITLE: &'static str = "Connections over time";
    const TEXT: &'static str = "Shows connections, statements and pools over time, of the whole server, by database server, or both.";
    const TOOLSET: &'static str = "stats";

    fn output(schema: OutputSchema) -> OutputSchema {
        may_name_target(schema)
    }

    fn example() -> (&'static str, Value) {
        ("Each database server in the last hour", json!({"scope": "per_server"}))
    }

    fn run(deps: &OpsDeps, call: &mut Call<'_>, args: ConnectionArgs) -> ToolResult<(Connection, Frame)> {
        let aim = Aim::of(call, args.db_type, args.target_id.as_deref())?;
        let global = if args.scope == Scope::PerServer {
            None
        } else {
            let rows = args.interval.read(deps, &CONNECTIONS)?;
            Some(Global { connections: typed(rows.clone())?, myhgm: typed(rows)? })
        };
        let per_server = if args.scope == Scope::Global {
            None
        } else {
            let rows = args.interval.read(deps, &POOL)?;
            let engine = aim.protocol.as_str();
            let mine = |row: &Map<String, Value>| row.get("protocol").and_then(Value::as_str) == Some(engine);
            let mut samples: Vec<PoolSample> = typed(rows.into_iter().filter(mine).collect())?;
            samples.retain(|sample| {
                let s = &sample.server;
                call.scope.sees(&s.target_id)
                    && args.target_id.as_deref().is_none_or(|id| id == s.target_id)
                    && args.hostgroup.is_none_or(|group| group == s.hostgroup)
                    && is_server(args.server.as_deref(), &s.srv_host, s.srv_port)
            });
            samples.iter_mut().for_each(|sample| sample.server.complete());
            Some(samples)
        };
        let (interval, resolution) = (args.interval, args.interval.resolution());
        let output = Connection {
            db_type: aim.db_type(),
            origin: Side::Host,
            interval,
            resolution,
            scope: args.scope,
            global,
            per_server,
        };
        Ok((output, aim.frame()))
    }
}
