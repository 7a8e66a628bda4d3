//! Recall and bookkeeping of the quantised copy.

use super::*;

fn noise(seed: &mut u64) -> f32 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*seed >> 40) as f32 / (1u64 << 24) as f32) - 0.5
}

fn vectors(n: usize, dim: usize, clusters: usize) -> Vec<Vec<f32>> {
    let mut seed = 7;
    let centres: Vec<Vec<f32>> =
        (0..clusters).map(|_| (0..dim).map(|_| noise(&mut seed)).collect()).collect();
    (0..n)
        .map(|i| {
            let mut v: Vec<f32> =
                (0..dim).map(|d| centres[i % clusters][d] + 0.3 * noise(&mut seed)).collect();
            let norm = v.iter().map(|x| x * x).sum::<f32>().sqrt();
            v.iter_mut().for_each(|x| *x /= norm);
            v
        })
        .collect()
}

#[test]
fn rescored_candidates_keep_recall() {
    for (metric, clusters) in [(Metric::Cosine, 1), (Metric::Cosine, 40), (Metric::L2, 40), (Metric::Dot, 40)]
    {
        let all = vectors(1500, 64, clusters);
        let mut matrix = Matrix::new(64, metric, 0);
        all.iter().enumerate().for_each(|(i, v)| matrix.put(i as i64, 1, v));
        let exact = |q: &[f32], keep: &dyn Fn(i64) -> bool| {
            let mut pks: Vec<i64> = (0..all.len() as i64).filter(|pk| keep(*pk)).collect();
            pks.sort_by(|a, b| {
                metric.distance(q, &all[*a as usize]).total_cmp(&metric.distance(q, &all[*b as usize]))
            });
            pks.truncate(10);
            pks
        };
        let mut found = 0;
        for q in all.iter().step_by(50) {
            let got = matrix.candidates(q, 50, &Allowed::all());
            found += exact(q, &|_| true).iter().filter(|pk| got.contains(pk)).count();
            let odd: Vec<i64> = (0..1500).filter(|pk| pk % 100 == 1).collect();
            let got = matrix.candidates(q, 10, &Allowed::all().with_chunks(odd));
            assert_eq!(got.len(), 10);
            assert!(got.iter().all(|pk| pk % 100 == 1));
        }
        assert!(found as f32 / 300.0 >= 0.99, "{metric:?} {found}");
    }
}

#[test]
fn removal_and_replacement_keep_rows_in_place() {
    let mut matrix = Matrix::new(2, Metric::Cosine, 0);
    matrix.put(1, 1, &[1.0, 0.0]);
    matrix.put(2, 2, &[0.0, 1.0]);
    matrix.put(3, 2, &[-1.0, 0.0]);
    matrix.remove(1);
    matrix.remove(99);
    matrix.put(2, 2, &[0.6, 0.8]);
    assert_eq!(matrix.len(), 2);
    assert_eq!(matrix.candidates(&[0.6, 0.8], 1, &Allowed::all()), [2]);
    assert_eq!(matrix.candidates(&[-1.0, 0.1], 1, &Allowed::all()), [3]);
    assert!(matrix.candidates(&[1.0, 0.0], 5, &Allowed::sources([9])).is_empty());
    assert_eq!(matrix.candidates(&[1.0], 5, &Allowed::all()).len(), 0);
}
