//! Finds and reads the files of a model folder; it knows their names, not what is computed from them.

use std::fs;
use std::path::{Path, PathBuf};

use ai_core::{AiError, AiErrorCode, AiResult};
use serde_json::Value;
use sha2::{Digest, Sha256};

/// Largest file that is read, in bytes.
const FILE_BYTES_MAX: u64 = 4 << 30;

/// The contents of a model folder.
pub(crate) struct ModelFiles {
    pub(crate) name: String,
    pub(crate) config: Value,
    pub(crate) tokenizer: PathBuf,
    pub(crate) weights: Vec<u8>,
    pub(crate) pooling_cls: bool,
    pub(crate) pooling_last: bool,
    pub(crate) max_tokens: Option<usize>,
    pub(crate) fingerprint: String,
}

pub(crate) fn precondition(message: String, file: &Path) -> AiError {
    AiError::new(AiErrorCode::FailedPrecondition, message).with("file", file.display().to_string())
}

fn read(path: &Path) -> AiResult<Vec<u8>> {
    let length = fs::metadata(path)
        .map_err(|e| precondition(format!("model file {} is not there: {e}", path.display()), path))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(precondition(format!("model file {} is larger than 4 GiB", path.display()), path));
    }
    fs::read(path)
        .map_err(|e| precondition(format!("model file {} cannot be read: {e}", path.display()), path))
}

fn json(path: &Path) -> AiResult<Value> {
    serde_json::from_slice(&read(path)?)
        .map_err(|e| precondition(format!("model file {} is not JSON: {e}", path.display()), path))
}

pub(crate) fn load(folder: &Path) -> AiResult<ModelFiles> {
    let weights = read(&folder.join("model.safetensors"))?;
    let tokenizer = folder.join("tokenizer.json");
    let tokenizer_bytes = read(&tokenizer)?;
    let config = json(&folder.join("config.json"))?;
    let optional = |name: &str| {
        let path = folder.join(name);
        if path.exists() { json(&path) } else { Ok(Value::Null) }
    };
    let pooling = optional("1_Pooling/config.json")?;
    let sentence = optional("sentence_bert_config.json")?;
    let mut hash = Sha256::new();
    hash.update(config.to_string().as_bytes());
    hash.update(&tokenizer_bytes);
    hash.update(&weights);
    let fingerprint = hash.finalize().iter().take(8).map(|b| format!("{b:02x}")).collect();
    let name = config
        .get("_name_or_path")
        .and_then(Value::as_str)
        .and_then(|n| n.trim_end_matches('/').rsplit('/').next())
        .filter(|n| !n.is_empty())
        .map(str::to_owned)
        .or_else(|| folder.file_name().map(|n| n.to_string_lossy().into_owned()))
        .unwrap_or_else(|| "model".to_owned());
    let flag = |key: &str| pooling.get(key).and_then(Value::as_bool).unwrap_or(false);
    Ok(ModelFiles {
        name,
        tokenizer,
        weights,
        pooling_cls: flag("pooling_mode_cls_token"),
        pooling_last: flag("pooling_mode_lasttoken"),
        max_tokens: sentence.get("max_seq_length").and_then(Value::as_u64).map(|n| n as usize),
        config,
        fingerprint,
    })
}
