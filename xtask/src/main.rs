//! Entry point of `cargo xtask`: picks the command and owns its exit code; what each command does lives in its own file.

mod args;
mod bench;
mod certificates;
mod ci;
mod clients;
mod conformance;
mod deny;
mod fuzz;
mod layering;
mod metadata;
mod peer_process;
mod process;
mod say;
mod services;
mod shim;
mod soak;
mod suite;
mod tidy;
mod tools;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask COMMAND [OPTIONS]

  test          start private MariaDB and PostgreSQL servers, run every test, stop them
                  --offline       start only what is installed already, fetch nothing
                  --only live     run only the tests whose path contains `live`
                  -- ARGS         hand ARGS to the test runner
  ci            test, then format, clippy, layering, tidy and deny; a table at the end
                  --no-tests      only the rest
  layering      check who may depend on whom
  tidy          check the house style of files, manifests and documents
  deny          cargo-deny: bans, licences, sources, and advisories where reachable
  conformance   the official MCP suite against the fixture example, plain and behind TLS
                  --url URL       a server of yours instead, plain
                  --verbose       each scenario
  clients       foreign MCP clients against the fixture and serve examples, over HTTPS and stdio
                  --only NAME     only `conformance_fixture` or only `serve`
  fuzz [TARGET…]  what reads bytes of strangers, with libFuzzer (needs a nightly toolchain)
                  --seconds N     how long each target runs (60)
  bench http    CPU of our server per tools/call beside rmcp's
  bench peers   the same SQL through our query endpoint, MCP Toolbox and DBHub where they are installed
                  --postgres URL, --toolbox PROGRAM, --dbhub PROGRAM, --requests N
  bench discovery   references and schema linking found without a model, beside name equality and plain FTS
  bench nl2sql      schema linking alone
  bench harvest     harvests of 10,000 tables beside the bare metadata statements
                  -- ARGS         hand ARGS to the bench: --tables N, --rounds N, URLs of servers
  soak          many clients on serve while private databases restart, vanish and lose connections
                  --minutes N (15), --clients N (1000), --think-ms N (4000), --seed N
";

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let command = words.next().unwrap_or_default();
    let rest: Vec<String> = words.collect();
    let outcome = match command.as_str() {
        "test" => suite::command(&rest),
        "ci" => ci::command(&rest),
        "layering" => layering::command(&rest),
        "tidy" => tidy::command(&rest),
        "deny" => deny::command(&rest),
        "conformance" => conformance::command(&rest),
        "clients" => clients::command(&rest),
        "fuzz" => fuzz::command(&rest),
        "bench" => bench::command(&rest),
        "soak" => soak::command(&rest),
        "" | "help" | "--help" | "-h" => {
            say::line(USAGE);
            return ExitCode::SUCCESS;
        }
        unknown => Err(format!("no command named `{unknown}`\n\n{USAGE}")),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            say::error(&message);
            ExitCode::FAILURE
        }
    }
}
