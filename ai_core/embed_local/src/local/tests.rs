//! Checks of the local embedder on tiny models that the tests write.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::*;

const HIDDEN: usize = 8;
const WORDS: [&str; 9] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "replica", "lag", "apple", "pie", "##s"];

fn write_tokenizer(folder: &Path) {
    let vocab: HashMap<&str, usize> = WORDS.iter().enumerate().map(|(i, w)| (*w, i)).collect();
    let special = |i: usize| {
        json!({"id": i, "content": WORDS[i], "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true})
    };
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null,
        "added_tokens": [special(0), special(1), special(2), special(3)],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true,
                       "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {"type": "BertProcessing", "sep": ["[SEP]", 3], "cls": ["[CLS]", 2]},
        "decoder": null,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
                  "max_input_chars_per_word": 100, "vocab": vocab},
    });
    std::fs::write(folder.join("tokenizer.json"), tokenizer.to_string()).unwrap();
}

/// Numbers that look random and are the same on every run.
fn noise(seed: &mut u64, n: usize) -> Vec<f32> {
    (0..n)
        .map(|_| {
            *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            ((*seed >> 40) as f32 / (1u64 << 24) as f32 - 0.5) * 0.6
        })
        .collect()
}

fn write_bert(folder: &Path) {
    write_tokenizer(folder);
    let config = json!({"vocab_size": WORDS.len(), "hidden_size": HIDDEN, "num_hidden_layers": 2,
        "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 12, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu"});
    std::fs::write(folder.join("config.json"), config.to_string()).unwrap();
    let mut seed = 11;
    let mut tensors: HashMap<String, Tensor> = HashMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let values = noise(&mut seed, shape.iter().product());
        tensors.insert(name, Tensor::from_vec(values, shape, &Device::Cpu).unwrap());
    };
    for (name, rows) in [("word", WORDS.len()), ("position", 12), ("token_type", 2)] {
        add(format!("embeddings.{name}_embeddings.weight"), &[rows, HIDDEN]);
    }
    for layer in 0..2 {
        let at = format!("encoder.layer.{layer}");
        for part in ["query", "key", "value"] {
            add(format!("{at}.attention.self.{part}.weight"), &[HIDDEN, HIDDEN]);
            add(format!("{at}.attention.self.{part}.bias"), &[HIDDEN]);
        }
        add(format!("{at}.attention.output.dense.weight"), &[HIDDEN, HIDDEN]);
        add(format!("{at}.attention.output.dense.bias"), &[HIDDEN]);
        add(format!("{at}.intermediate.dense.weight"), &[16, HIDDEN]);
        add(format!("{at}.intermediate.dense.bias"), &[16]);
        add(format!("{at}.output.dense.weight"), &[HIDDEN, 16]);
        add(format!("{at}.output.dense.bias"), &[HIDDEN]);
    }
    let norms = (0..2)
        .flat_map(|l| ["attention.output", "output"].map(|p| format!("encoder.layer.{l}.{p}.LayerNorm")));
    for norm in norms.chain(["embeddings.LayerNorm".to_owned()]) {
        tensors.insert(format!("{norm}.weight"), Tensor::ones(HIDDEN, DType::F32, &Device::Cpu).unwrap());
        tensors.insert(format!("{norm}.bias"), Tensor::zeros(HIDDEN, DType::F32, &Device::Cpu).unwrap());
    }
    candle_core::safetensors::save(&tensors, folder.join("model.safetensors")).unwrap();
}

fn embed(model: &LocalEmbedder, texts: &[&str]) -> Vec<Vec<f32>> {
    model.embed(texts, EmbedKind::Document, Deadline::after_ms(60_000)).unwrap()
}

fn near(a: &[f32], b: &[f32]) -> bool {
    a.iter().zip(b).all(|(x, y)| (x - y).abs() < 1e-5)
}

#[test]
fn batches_and_padding_do_not_change_vectors() {
    let folder = tempfile::tempdir().unwrap();
    write_bert(folder.path());
    let model = LocalEmbedder::open(folder.path(), LocalOptions::default()).unwrap();
    let texts = ["replica lags", "apple", "replica lag apple pie pie pie replica unknownword", ""];
    let together = embed(&model, &texts);
    for (text, vector) in texts.iter().zip(&together) {
        assert!(near(&embed(&model, &[text])[0], vector), "{text}");
        assert!((vector.iter().map(|x| x * x).sum::<f32>() - 1.0).abs() < 1e-4);
    }
    assert!(!near(&together[0], &together[1]));
    let info = model.info();
    assert_eq!((info.dim, info.max_input_tokens, info.lexical), (HIDDEN, 12, false));
    assert_eq!(model.count_tokens("replica lags"), Some(3));
    assert_eq!(model.count_tokens(&"pie ".repeat(40)), Some(40));
}

#[test]
fn long_documents_are_averaged_over_windows_and_queries_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    write_bert(folder.path());
    let open = |windows_max| {
        LocalEmbedder::open(folder.path(), LocalOptions { windows_max, ..LocalOptions::default() }).unwrap()
    };
    let (one, many) = (open(Some(1)), open(Some(4)));
    assert_ne!(one.info().revision, many.info().revision);
    // The window holds ten words beside its two marks.
    let head = "replica lag ".repeat(5);
    let tail = "apple pie ".repeat(5);
    let long = format!("{head}{tail}");
    let [whole, first, second] = [long.as_str(), &head, &tail].map(|t| embed(&many, &[t]).remove(0));
    assert!(near(&embed(&one, &[&long])[0], &first));
    let mut mean: Vec<f32> = first.iter().zip(&second).map(|(a, b)| a + b).collect();
    let norm = mean.iter().map(|x| x * x).sum::<f32>().sqrt();
    mean.iter_mut().for_each(|x| *x /= norm);
    assert!(near(&whole, &mean) && !near(&whole, &first));
    let query = many.embed(&[&long], EmbedKind::Query, Deadline::after_ms(60_000)).unwrap();
    assert!(near(&query[0], &first));
    // The number of windows is bounded.
    let endless = "pie ".repeat(4000);
    let cut = "pie ".repeat(40);
    assert!(near(&embed(&many, &[&endless])[0], &embed(&many, &[&cut])[0]));
}

#[test]
fn pooling_and_prefixes_are_used() {
    let folder = tempfile::tempdir().unwrap();
    write_bert(folder.path());
    let open = |options| LocalEmbedder::open(folder.path(), options).unwrap();
    let mean = open(LocalOptions::default());
    let cls = open(LocalOptions { pooling: Some(Pooling::Cls), ..LocalOptions::default() });
    assert!(!near(&embed(&mean, &["replica lag"])[0], &embed(&cls, &["replica lag"])[0]));
    let prefixed = open(LocalOptions { document_prefix: "apple ".to_owned(), ..LocalOptions::default() });
    assert!(near(&embed(&prefixed, &["pie"])[0], &embed(&mean, &["apple pie"])[0]));
}

#[test]
fn a_static_table_is_averaged() {
    let folder = tempfile::tempdir().unwrap();
    write_tokenizer(folder.path());
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    let mut seed = 3;
    let rows = Tensor::from_vec(noise(&mut seed, WORDS.len() * 4), (WORDS.len(), 4), &Device::Cpu).unwrap();
    let tensors = HashMap::from([("embeddings".to_owned(), rows)]);
    candle_core::safetensors::save(&tensors, folder.path().join("model.safetensors")).unwrap();
    let model = LocalEmbedder::open(folder.path(), LocalOptions::default()).unwrap();
    assert_eq!(model.info().dim, 4);
    assert!(near(&embed(&model, &["pie pie"])[0], &embed(&model, &["pie"])[0]));
}

#[test]
fn missing_and_broken_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let refusal = |folder: &Path| {
        let error = LocalEmbedder::open(folder, LocalOptions::default()).unwrap_err();
        assert_eq!(error.code, AiErrorCode::FailedPrecondition);
        error.message
    };
    assert!(refusal(folder.path()).contains("model.safetensors"));
    write_bert(folder.path());
    std::fs::write(folder.path().join("config.json"), "{}").unwrap();
    assert!(refusal(folder.path()).contains("config.json"));
    write_bert(folder.path());
    std::fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    assert!(refusal(folder.path()).contains("tokenizer.json"));
    write_bert(folder.path());
    std::fs::write(folder.path().join("model.safetensors"), "x").unwrap();
    assert!(refusal(folder.path()).contains("model.safetensors"));
}
