//! Asks the local model that the variables name by default; it shows errors instead of hiding them.

#![expect(clippy::print_stdout, reason = "showing the answer is what this example is for")]

use ai_core::{CallContext, LlmClient, LlmRequest};
use ai_core_llm::{HostModels, LlmConfig, LlmDeps, LlmService};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let url = std::env::args().nth(1).unwrap_or("http://localhost:11434/v1/chat/completions".to_owned());
    let mut config = LlmConfig::default();
    for (name, value) in [
        ("enabled", "true"),
        ("llm_enabled", "true"),
        ("llm_provider", "generic"),
        ("llm_provider_url", &url),
        ("llm_provider_model", "llama3.2"),
    ] {
        config.set_variable(name, value)?;
    }
    let service = LlmService::start(config, LlmDeps::default(), HostModels::default())?;
    match service.complete(&LlmRequest::new("Say hello."), &CallContext::new("example")) {
        Ok(answer) => println!("{}\n{}", answer.text_response, answer.explanation),
        Err(error) => println!("{error}"),
    }
    service.stop(std::time::Duration::from_secs(5));
    Ok(())
}
