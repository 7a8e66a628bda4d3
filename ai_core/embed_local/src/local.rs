//! The embedder over a model folder: tokenise, batch, run, pool, normalise; it knows no store and no network.

use std::path::{Path, PathBuf};

use ai_core::{AiError, AiErrorCode, AiResult, Deadline, EmbedKind, Embedder, EmbedderInfo};
use candle_core::{D, Tensor};
use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::bert::{Bert, BertConfig};
use crate::files::{self, precondition};
use crate::table::Table;

/// Tokens of one batch, padding included; bounds memory.
const BATCH_TOKENS_MAX: usize = 1024;

/// Windows of one document unless said otherwise: chunks fit one window, and more cost time.
const WINDOWS_MAX: usize = 1;

/// Tokens of one input of a static table.
const TABLE_TOKENS_MAX: usize = 8192;

/// Bytes of one input that reach the tokenizer; the rest cannot matter within any model's window.
const INPUT_BYTES_MAX: usize = 64 * 1024;

/// How token vectors become one vector.
// Exhaustive on purpose: these are the forms that model files name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The mean over the tokens.
    Mean,
    /// The first token.
    Cls,
    /// The last token.
    Last,
}

/// How a model folder is used.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct LocalOptions {
    /// The pooling, instead of the folder's own (mean unless it says otherwise).
    pub pooling: Option<Pooling>,
    /// Longest input in tokens, instead of the folder's own.
    pub max_input_tokens: Option<usize>,
    /// Windows of a document longer than one; their vectors are averaged. 1, which cuts the text,
    /// unless said otherwise.
    pub windows_max: Option<usize>,
    /// Put before every query.
    pub query_prefix: String,
    /// Put before every document.
    pub document_prefix: String,
}

enum Model {
    Bert(Box<Bert>),
    Table(Table),
}

/// An embedder over the files of one folder: `model.safetensors`, `tokenizer.json`, `config.json`.
#[non_exhaustive]
pub struct LocalEmbedder {
    folder: PathBuf,
    info: EmbedderInfo,
    tokenizer: Tokenizer,
    /// The same without a window, for counting.
    counter: Tokenizer,
    model: Model,
    pooling: Pooling,
    windows_max: usize,
    options: LocalOptions,
}

impl std::fmt::Debug for LocalEmbedder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalEmbedder")
            .field("folder", &self.folder)
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

impl LocalEmbedder {
    /// Loads the model in `folder` and embeds one short text to see that it works.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` with the file's name when a file is missing, malformed or of a kind that is not known.
    pub fn open(folder: &Path, options: LocalOptions) -> AiResult<Self> {
        let files = files::load(folder)?;
        let weights_path = folder.join("model.safetensors");
        let broken = |e: candle_core::Error| {
            precondition(format!("model file {} does not fit: {e}", weights_path.display()), &weights_path)
        };
        let (model, dim, window) = match Table::load(&files.weights).map_err(broken)? {
            Some(table) => {
                let dim = table.dim;
                (Model::Table(table), dim, TABLE_TOKENS_MAX)
            }
            None => {
                let config_path = folder.join("config.json");
                let config: BertConfig = serde_json::from_value(files.config.clone()).map_err(|e| {
                    precondition(
                        format!("{} describes no BERT-shaped model: {e}", config_path.display()),
                        &config_path,
                    )
                })?;
                let bounded = (1..=8192).contains(&config.hidden_size)
                    && config.num_attention_heads > 0
                    && config.hidden_size.is_multiple_of(config.num_attention_heads)
                    && config.max_position_embeddings > 2;
                if !bounded {
                    return Err(precondition(
                        format!("{} holds sizes out of range", config_path.display()),
                        &config_path,
                    ));
                }
                let (dim, window) = (config.hidden_size, config.max_position_embeddings);
                (Model::Bert(Box::new(Bert::load(files.weights, &config).map_err(broken)?)), dim, window)
            }
        };
        let mut tokenizer = Tokenizer::from_file(&files.tokenizer).map_err(|e| {
            precondition(
                format!("tokenizer {} cannot be read: {e}", files.tokenizer.display()),
                &files.tokenizer,
            )
        })?;
        tokenizer.with_padding(None);
        let mut counter = tokenizer.clone();
        counter
            .with_truncation(None)
            .map_err(|e| precondition(format!("tokenizer cannot count: {e}"), &files.tokenizer))?;
        let max_tokens = options.max_input_tokens.or(files.max_tokens).unwrap_or(window).clamp(2, window);
        let truncation = tokenizers::TruncationParams { max_length: max_tokens, ..Default::default() };
        tokenizer.with_truncation(Some(truncation)).map_err(|e| {
            precondition(format!("tokenizer cannot cut to {max_tokens} tokens: {e}"), &files.tokenizer)
        })?;
        let pooling = options.pooling.unwrap_or(match (files.pooling_cls, files.pooling_last) {
            (true, _) => Pooling::Cls,
            (_, true) => Pooling::Last,
            _ => Pooling::Mean,
        });
        let windows_max = options.windows_max.unwrap_or(WINDOWS_MAX).clamp(1, 64);
        // Averaged vectors are another space than cut ones.
        let revision = match windows_max {
            1 => files.fingerprint,
            n => format!("{}-w{n}", files.fingerprint),
        };
        let info = EmbedderInfo::new("local", files.name, dim)
            .with_revision(revision)
            .with_max_input_tokens(max_tokens);
        let made = Self {
            folder: folder.to_owned(),
            info,
            tokenizer,
            counter,
            model,
            pooling,
            windows_max,
            options,
        };
        made.embed(&["canary"], EmbedKind::Query, Deadline::after_ms(60_000))?;
        Ok(made)
    }

    /// The pooling in use.
    #[must_use]
    pub const fn pooling(&self) -> Pooling {
        self.pooling
    }

    /// The windows of a text: one for a query; a longer document has several, whose vectors are averaged.
    fn windows(&self, text: &str, prefix: &str, kind: EmbedKind) -> AiResult<Vec<Vec<u32>>> {
        let most = INPUT_BYTES_MAX.min(text.len());
        let cut = (0..=most).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
        let joined;
        let text = if prefix.is_empty() {
            &text[..cut]
        } else {
            joined = format!("{prefix}{}", &text[..cut]);
            &joined
        };
        let special = matches!(self.model, Model::Bert(_));
        let encode = |tokenizer: &Tokenizer| {
            tokenizer
                .encode_fast(text, special)
                .map(|e| e.get_ids().to_vec())
                .map_err(|e| AiError::invalid(format!("text cannot be tokenised: {e}")))
        };
        let windows_max = if kind == EmbedKind::Document && special { self.windows_max } else { 1 };
        if windows_max == 1 {
            return Ok(vec![encode(&self.tokenizer)?]);
        }
        let ids = encode(&self.counter)?;
        let window = self.info.max_input_tokens;
        if ids.len() <= window || window < 4 {
            return Ok(vec![encode(&self.tokenizer)?]);
        }
        let (first, last) = (ids[0], ids[ids.len() - 1]);
        let inner = &ids[1..ids.len() - 1];
        // Windows of like length say more than full ones and a rest of a few words.
        let count = inner.len().div_ceil(window - 2).min(windows_max);
        let step = inner.len().div_ceil(count).min(window - 2);
        Ok(inner
            .chunks(step)
            .take(count)
            .map(|part| {
                std::iter::once(first).chain(part.iter().copied()).chain(std::iter::once(last)).collect()
            })
            .collect())
    }

    fn run(&self, batch: &[&Vec<u32>]) -> AiResult<Vec<Vec<f32>>> {
        let vectors = match &self.model {
            Model::Table(table) => batch.iter().map(|ids| table.mean(ids)).collect(),
            Model::Bert(bert) => {
                self.run_bert(bert, batch).map_err(|e| AiError::internal(format!("model failed: {e}")))?
            }
        };
        vectors.into_iter().map(unit).collect()
    }

    fn run_bert(&self, bert: &Bert, batch: &[&Vec<u32>]) -> candle_core::Result<Vec<Vec<f32>>> {
        let lengths: Vec<usize> = batch.iter().map(|ids| ids.len()).collect();
        let length = lengths.iter().copied().max().unwrap_or(1).max(1);
        let mut padded = Vec::with_capacity(length * batch.len());
        for ids in batch {
            padded.extend_from_slice(ids);
            padded.resize(padded.len() + length - ids.len(), 0);
        }
        let hidden = bert.forward(&padded, &lengths, length)?;
        (0..batch.len()).map(|i| self.pool(&hidden.get(i)?, lengths[i].max(1))).collect()
    }

    fn pool(&self, hidden: &Tensor, length: usize) -> candle_core::Result<Vec<f32>> {
        match self.pooling {
            Pooling::Mean => hidden.narrow(0, 0, length)?.mean(D::Minus2)?.to_vec1(),
            Pooling::Cls => hidden.get(0)?.to_vec1(),
            Pooling::Last => hidden.get(length - 1)?.to_vec1(),
        }
    }
}

impl Embedder for LocalEmbedder {
    fn info(&self) -> EmbedderInfo {
        self.info.clone()
    }

    fn embed(&self, inputs: &[&str], kind: EmbedKind, deadline: Deadline) -> AiResult<Vec<Vec<f32>>> {
        let prefix = match kind {
            EmbedKind::Query => &self.options.query_prefix,
            EmbedKind::Document => &self.options.document_prefix,
        };
        let mut ids: Vec<Vec<u32>> = Vec::with_capacity(inputs.len());
        let mut owner: Vec<usize> = Vec::with_capacity(inputs.len());
        for (at, text) in inputs.iter().enumerate() {
            let windows = self.windows(text, prefix, kind)?;
            owner.extend(std::iter::repeat_n(at, windows.len()));
            ids.extend(windows);
        }
        // Neighbours of like length need little padding.
        let mut order: Vec<usize> = (0..ids.len()).collect();
        order.sort_by_key(|i| ids[*i].len());
        let mut out = vec![Vec::new(); ids.len()];
        let mut start = 0;
        while start < order.len() {
            deadline.check("embedding")?;
            let mut end = start + 1;
            while end < order.len() && (end - start + 1) * ids[order[end]].len().max(1) <= BATCH_TOKENS_MAX {
                end += 1;
            }
            let batch: Vec<&Vec<u32>> = order[start..end].iter().map(|i| &ids[*i]).collect();
            for (place, vector) in order[start..end].iter().zip(self.run(&batch)?) {
                out[*place] = vector;
            }
            start = end;
        }
        let mut whole: Vec<Vec<f32>> = vec![vec![0.0; self.info.dim]; inputs.len()];
        for ((vector, at), ids) in out.iter().zip(owner).zip(&ids) {
            let weight = ids.len() as f32;
            whole[at].iter_mut().zip(vector).for_each(|(w, x)| *w += weight * x);
        }
        whole.into_iter().map(unit).collect()
    }

    fn count_tokens(&self, text: &str) -> Option<usize> {
        self.counter.encode_fast(text, false).ok().map(|e| e.len())
    }
}

fn unit(mut v: Vec<f32>) -> AiResult<Vec<f32>> {
    let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
    if !norm.is_finite() || norm == 0.0 {
        return Err(AiError::new(AiErrorCode::InvalidArgument, "the model gives this text no usable vector"));
    }
    v.iter_mut().for_each(|x| *x /= norm);
    Ok(v)
}

#[cfg(test)]
mod tests;
