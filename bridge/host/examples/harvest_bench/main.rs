//! Measures whole harvests beside the bare metadata statements, on SQLite and on servers; it asserts nothing.
//!
//! `cargo run --release -p bridge_host --example harvest_bench -- [--tables N] [--columns N] [--rounds N] [URL …]`
//!
//! Without a URL a SQLite file is generated. A URL names an account that may create databases, such as
//! `postgres://postgres@127.0.0.1:5432/postgres`; the scratch database is dropped at the end.

#![expect(clippy::print_stdout, reason = "it is what the example is for")]

mod generated;
mod measured;
mod search;

use std::path::Path;

use bridge_host::{Host, HostConfig, TargetSpec};
use harvest_catalog::Catalog;

use generated::Scratch;
use measured::{Cost, Watch, median};

type Fail = Box<dyn std::error::Error>;

struct Options {
    tables: usize,
    columns: usize,
    rounds: usize,
    urls: Vec<String>,
}

fn options() -> Result<Options, Fail> {
    let mut out = Options { tables: 10_000, columns: 12, rounds: 5, urls: Vec::new() };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut number =
            || -> Result<usize, Fail> { Ok(words.next().ok_or("a number is missing")?.parse()?) };
        match word.as_str() {
            "--tables" => out.tables = number()?,
            "--columns" => out.columns = number()?,
            "--rounds" => out.rounds = number()?.max(1),
            _ => out.urls.push(word),
        }
    }
    if out.urls.is_empty() {
        out.urls.push("sqlite:".to_owned());
    }
    Ok(out)
}

fn main() -> Result<(), Fail> {
    let options = options()?;
    for url in &options.urls {
        let folder = std::env::temp_dir().join(format!("harvest_bench_{}", std::process::id()));
        std::fs::create_dir_all(&folder)?;
        let done = one(url, &options, &folder);
        std::fs::remove_dir_all(&folder)?;
        done?;
    }
    Ok(())
}

fn host(scratch: &Scratch, folder: &Path) -> Result<Host, Fail> {
    let mut config = HostConfig::new(folder.to_path_buf());
    // The account that made the scratch database reads it too.
    config.allow_privileged_backend = true;
    config.targets.push(TargetSpec::parse(&format!("t={}", scratch.url()))?);
    Ok(Host::open(config)?)
}

fn one(url: &str, options: &Options, folder: &Path) -> Result<(), Fail> {
    let mut scratch = Scratch::new(url, folder)?;
    scratch.fill(options.tables, options.columns)?;
    println!("{}: {} tables of {} columns", scratch.engine(), options.tables, options.columns);
    let (mut bare, mut first, mut again) = (Vec::new(), Vec::new(), Vec::new());
    let mut kilobytes = 0;
    for round in 0..options.rounds {
        // Bare, whole and incremental in turn, so that a noisy minute of the machine hits all three.
        let watch = Watch::start();
        let rows = scratch.read_bare()?;
        bare.push(watch.stop());
        let data = folder.join(format!("data{round}"));
        let host = host(&scratch, &data)?;
        measured::forget_peak();
        let (cost, found) = harvest(&host)?;
        kilobytes = kilobytes.max(measured::peak_kilobytes());
        first.push(cost);
        again.push(harvest(&host)?.0);
        if round == 0 {
            println!("  bare statements give {rows} rows, the harvest {found} objects");
        }
        if round + 1 == options.rounds {
            search::report(&host, host.catalog().latest_run_id("t")?.ok_or("a run")?)?;
        }
        host.close();
        drop(host);
        std::fs::remove_dir_all(&data)?;
    }
    let base = median(&mut bare);
    for (name, costs) in [("bare", &mut bare), ("first", &mut first), ("unchanged", &mut again)] {
        let cost = median(costs);
        println!(
            "  {name:<10} {:>6.0} ms, {:>6.0} ms CPU of this process, {:.2} of bare",
            cost.wall_ms,
            cost.cpu_ms,
            cost.wall_ms / base.wall_ms
        );
    }
    println!("  memory at most {} MB while harvesting", kilobytes / 1024);
    Ok(())
}

/// One harvest as the catalog does it, through a connection of the host's own pool settings.
fn harvest(host: &Host) -> Result<(Cost, u64), Fail> {
    let catalog: &Catalog = host.catalog();
    let before = catalog.latest_run_id("t")?;
    let watch = Watch::start();
    let report = host.harvest("t", |_| {})?;
    let cost = watch.stop();
    if before == Some(report.run_id) {
        return Err("no new run".into());
    }
    Ok((cost, report.objects))
}
