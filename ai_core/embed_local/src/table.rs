//! Static tables: one vector a token, averaged; it knows no attention.

use candle_core::{DType, Device, Result, safetensors::load_buffer};

/// A table of token vectors.
pub(crate) struct Table {
    pub(crate) dim: usize,
    rows: Vec<f32>,
}

const NAMES: [&str; 3] = ["embeddings", "embedding.weight", "embeddings.weight"];

impl Table {
    /// Reads a table, or `None` when the file holds another kind of model.
    pub(crate) fn load(weights: &[u8]) -> Result<Option<Self>> {
        let tensors = load_buffer(weights, &Device::Cpu)?;
        let Some(tensor) = NAMES.iter().find_map(|n| tensors.get(*n)) else { return Ok(None) };
        let (_, dim) = tensor.dims2()?;
        let rows = tensor.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>()?;
        Ok(Some(Self { dim, rows }))
    }

    /// The mean of the tokens' vectors; unknown ids add nothing.
    pub(crate) fn mean(&self, ids: &[u32]) -> Vec<f32> {
        let mut out = vec![0.0; self.dim];
        for id in ids {
            let start = *id as usize * self.dim;
            if let Some(row) = self.rows.get(start..start + self.dim) {
                out.iter_mut().zip(row).for_each(|(o, r)| *o += r);
            }
        }
        out
    }
}
