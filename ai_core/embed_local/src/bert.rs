//! The encoder of BERT-shaped models on candle tensors; it knows tensors, not texts.

use candle_core::{D, DType, Device, Result, Tensor};
use candle_nn::{
    Embedding, LayerNorm, Linear, Module, VarBuilder, embedding, layer_norm, linear, ops::softmax_last_dim,
};
use serde::Deserialize;

use crate::gelu::Gelu;

/// The members of `config.json` that the encoder needs.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct BertConfig {
    pub(crate) vocab_size: usize,
    pub(crate) hidden_size: usize,
    pub(crate) num_hidden_layers: usize,
    pub(crate) num_attention_heads: usize,
    pub(crate) intermediate_size: usize,
    pub(crate) max_position_embeddings: usize,
    #[serde(default = "two")]
    pub(crate) type_vocab_size: usize,
    #[serde(default = "epsilon")]
    pub(crate) layer_norm_eps: f64,
    #[serde(default = "gelu")]
    pub(crate) hidden_act: String,
}

fn two() -> usize {
    2
}

fn epsilon() -> f64 {
    1e-12
}

fn gelu() -> String {
    "gelu".to_owned()
}

struct Layer {
    query: Linear,
    key: Linear,
    value: Linear,
    attended: Linear,
    attended_norm: LayerNorm,
    wide: Linear,
    narrow: Linear,
    out_norm: LayerNorm,
}

pub(crate) struct Bert {
    words: Embedding,
    positions: Embedding,
    types: Embedding,
    norm: LayerNorm,
    layers: Vec<Layer>,
    heads: usize,
    relu: bool,
    device: Device,
}

impl Bert {
    pub(crate) fn load(weights: Vec<u8>, c: &BertConfig) -> Result<Self> {
        let device = Device::Cpu;
        let root = VarBuilder::from_buffered_safetensors(weights, DType::F32, &device)?;
        let root = ["", "bert", "0.auto_model"]
            .iter()
            .map(|prefix| if prefix.is_empty() { root.clone() } else { root.pp(*prefix) })
            .find(|vb| vb.contains_tensor("embeddings.word_embeddings.weight"))
            .unwrap_or(root);
        let e = root.pp("embeddings");
        let h = c.hidden_size;
        let norm = |vb: VarBuilder| layer_norm(h, c.layer_norm_eps, vb);
        let layers = (0..c.num_hidden_layers)
            .map(|i| {
                let vb = root.pp(format!("encoder.layer.{i}"));
                let own = vb.pp("attention.self");
                Ok(Layer {
                    query: linear(h, h, own.pp("query"))?,
                    key: linear(h, h, own.pp("key"))?,
                    value: linear(h, h, own.pp("value"))?,
                    attended: linear(h, h, vb.pp("attention.output.dense"))?,
                    attended_norm: norm(vb.pp("attention.output.LayerNorm"))?,
                    wide: linear(h, c.intermediate_size, vb.pp("intermediate.dense"))?,
                    narrow: linear(c.intermediate_size, h, vb.pp("output.dense"))?,
                    out_norm: norm(vb.pp("output.LayerNorm"))?,
                })
            })
            .collect::<Result<Vec<_>>>()?;
        Ok(Self {
            words: embedding(c.vocab_size, h, e.pp("word_embeddings"))?,
            positions: embedding(c.max_position_embeddings, h, e.pp("position_embeddings"))?,
            types: embedding(c.type_vocab_size, h, e.pp("token_type_embeddings"))?,
            norm: norm(e.pp("LayerNorm"))?,
            layers,
            heads: c.num_attention_heads,
            relu: c.hidden_act == "relu",
            device,
        })
    }

    /// Hidden states `[batch, length, hidden]` of right-padded ids; `lengths` are the true lengths.
    pub(crate) fn forward(&self, ids: &[u32], lengths: &[usize], length: usize) -> Result<Tensor> {
        let batch = lengths.len();
        let ids = Tensor::from_slice(ids, (batch, length), &self.device)?;
        let places = Tensor::arange(0u32, length as u32, &self.device)?;
        let kinds = Tensor::zeros((1, length), DType::U32, &self.device)?;
        let x = self.words.forward(&ids)?;
        let x = x
            .broadcast_add(&self.positions.forward(&places)?)?
            .broadcast_add(&self.types.forward(&kinds)?)?;
        let mut x = self.norm.forward(&x)?;
        let mask = self.mask(lengths, length)?;
        for layer in &self.layers {
            x = self.layer(layer, &x, mask.as_ref())?;
        }
        Ok(x)
    }

    fn mask(&self, lengths: &[usize], length: usize) -> Result<Option<Tensor>> {
        if lengths.iter().all(|n| *n == length) {
            return Ok(None);
        }
        let cells: Vec<f32> = lengths
            .iter()
            .flat_map(|n| (0..length).map(move |i| if i < *n { 0.0 } else { f32::MIN / 2.0 }))
            .collect();
        Tensor::from_vec(cells, (lengths.len(), 1, 1, length), &self.device).map(Some)
    }

    fn layer(&self, layer: &Layer, x: &Tensor, mask: Option<&Tensor>) -> Result<Tensor> {
        let (batch, length, hidden) = x.dims3()?;
        let split = |t: Tensor| {
            t.reshape((batch, length, self.heads, hidden / self.heads))?.transpose(1, 2)?.contiguous()
        };
        let q = split(layer.query.forward(x)?)?;
        let k = split(layer.key.forward(x)?)?;
        let v = split(layer.value.forward(x)?)?;
        let scale = 1.0 / ((hidden / self.heads) as f64).sqrt();
        let mut scores = (q.matmul(&k.transpose(D::Minus1, D::Minus2)?.contiguous()?)? * scale)?;
        if let Some(mask) = mask {
            scores = scores.broadcast_add(mask)?;
        }
        let mixed = softmax_last_dim(&scores)?.matmul(&v)?;
        let mixed = mixed.transpose(1, 2)?.contiguous()?.reshape((batch, length, hidden))?;
        let x = layer.attended_norm.forward(&(layer.attended.forward(&mixed)? + x)?)?;
        let wide = layer.wide.forward(&x)?;
        let wide = if self.relu { wide.relu()? } else { wide.apply_op1_no_bwd(&Gelu)? };
        layer.out_norm.forward(&(layer.narrow.forward(&wide)? + x)?)
    }
}
