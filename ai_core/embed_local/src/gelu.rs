//! The activation of BERT-shaped models in plain arithmetic, which compilers turn into vector instructions; nothing else.

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, bail};

/// Beyond this the error function is 1 within the precision of f32.
const EDGE: f32 = 3.9;

/// Numerator and denominator, in powers of x², of a rational fit of erf(x)/x on [0, 3.9]; error below 4e-7.
const UPPER: [f32; 7] = [
    std::f32::consts::FRAC_2_SQRT_PI,
    0.184_690_2,
    5.426_075_4e-2,
    3.829_882e-3,
    3.796_581_3e-4,
    4.698_597e-6,
    -1.323_338_5e-8,
];
const LOWER: [f32; 6] = [1.0, 0.497_010_95, 0.113_756_77, 1.542_339_7e-2, 1.303_572_9e-3, 6.323_886e-5];

/// The error function.
fn erf(x: f32) -> f32 {
    let x = x.clamp(-EDGE, EDGE);
    let t = x * x;
    let upper = UPPER.iter().rev().fold(0.0f32, |sum, c| sum * t + c);
    let lower = LOWER.iter().rev().fold(0.0f32, |sum, c| sum * t + c);
    x * upper / lower
}

/// x · Φ(x), exactly as models with `gelu` were trained.
fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The activation as an operation on tensors of f32.
pub(crate) struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let (CpuStorage::F32(values), Some((from, to))) = (storage, layout.contiguous_offsets()) else {
            bail!("gelu takes contiguous tensors of f32");
        };
        let out = values[from..to].iter().map(|x| gelu(*x)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn the_fit_equals_the_slow_function() {
        let values: Vec<f32> = (-8000..8000).map(|i| i as f32 / 1000.0).collect();
        let x = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
        let fast: Vec<f32> = x.apply_op1_no_bwd(&Gelu).unwrap().to_vec1().unwrap();
        let slow: Vec<f32> = x.gelu_erf().unwrap().to_vec1().unwrap();
        let worst = fast.iter().zip(&slow).map(|(a, b)| (a - b).abs()).fold(0.0f32, f32::max);
        assert!(worst < 2e-6, "{worst}");
    }
}
