//! Counters and histograms of the LLM side as Prometheus text; it does not know who serves the text.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, PoisonError};

/// Prefix of every name.
const PREFIX: &str = "proxysql_genai_";
/// Series at most, so that a fault in labels cannot eat the memory.
const SERIES_MAX: usize = 4_096;
/// Upper bounds of time buckets, seconds.
const SECONDS: &[f64] =
    &[0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0];
/// Upper bounds of size buckets.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0, 2_048.0];

/// Name and labels of a series, the labels already written as `{a="b"}`.
type Series = (&'static str, String);

#[derive(Debug)]
struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    total: u64,
}

#[derive(Debug, Default)]
struct State {
    counters: BTreeMap<Series, f64>,
    histograms: BTreeMap<Series, Histogram>,
}

/// The registry. Labels come from closed sets: kinds, outcomes, stages and names of provider rows.
#[derive(Debug, Default)]
pub struct Metrics {
    state: Mutex<State>,
}

/// One label of a series.
pub(crate) type Label<'a> = (&'static str, &'a str);

fn written(labels: &[Label<'_>]) -> String {
    let mut text = String::new();
    for (name, value) in labels {
        let open = if text.is_empty() { '{' } else { ',' };
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "{open}{name}=\"{value}\"");
    }
    if !text.is_empty() {
        text.push('}');
    }
    text
}

impl Metrics {
    pub(crate) fn count(&self, name: &'static str, labels: &[Label<'_>], by: f64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let series = (name, written(labels));
        if state.counters.len() < SERIES_MAX || state.counters.contains_key(&series) {
            *state.counters.entry(series).or_default() += by;
        }
    }

    pub(crate) fn observe_seconds(&self, name: &'static str, labels: &[Label<'_>], seconds: f64) {
        self.observe(name, labels, SECONDS, seconds);
    }

    pub(crate) fn observe_size(&self, name: &'static str, labels: &[Label<'_>], size: usize) {
        self.observe(name, labels, SIZES, size as f64);
    }

    fn observe(&self, name: &'static str, labels: &[Label<'_>], bounds: &'static [f64], value: f64) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let series = (name, written(labels));
        if state.histograms.len() >= SERIES_MAX && !state.histograms.contains_key(&series) {
            return;
        }
        let fresh = || Histogram { bounds, counts: vec![0; bounds.len()], sum: 0.0, total: 0 };
        let histogram = state.histograms.entry(series).or_insert_with(fresh);
        for (count, bound) in histogram.counts.iter_mut().zip(bounds) {
            *count += u64::from(value <= *bound);
        }
        histogram.sum += value;
        histogram.total += 1;
    }

    /// The text of all series, with `gauges` (name, labels, value) of this moment, equal names side by side.
    pub(crate) fn text(&self, gauges: &[(&'static str, Vec<Label<'_>>, f64)]) -> String {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut out = String::new();
        let mut typed = "";
        for ((name, labels), value) in &state.counters {
            head(&mut out, &mut typed, name, "counter");
            let _ = writeln!(out, "{PREFIX}{name}{labels} {value}");
        }
        for (name, labels, value) in gauges {
            // What others count already, the cache above all, comes with the gauges.
            head(&mut out, &mut typed, name, if name.ends_with("_total") { "counter" } else { "gauge" });
            let _ = writeln!(out, "{PREFIX}{name}{} {value}", written(labels));
        }
        for ((name, labels), histogram) in &state.histograms {
            head(&mut out, &mut typed, name, "histogram");
            let inner = labels.trim_start_matches('{').trim_end_matches('}');
            let comma = if inner.is_empty() { "" } else { "," };
            for (count, bound) in histogram.counts.iter().zip(histogram.bounds) {
                let _ = writeln!(out, "{PREFIX}{name}_bucket{{{inner}{comma}le=\"{bound}\"}} {count}");
            }
            let _ = writeln!(out, "{PREFIX}{name}_bucket{{{inner}{comma}le=\"+Inf\"}} {}", histogram.total);
            let _ = writeln!(out, "{PREFIX}{name}_sum{labels} {}", histogram.sum);
            let _ = writeln!(out, "{PREFIX}{name}_count{labels} {}", histogram.total);
        }
        out
    }
}

fn head<'n>(out: &mut String, typed: &mut &'n str, name: &'n str, kind: &str) {
    if *typed != name {
        *typed = name;
        let _ = writeln!(out, "# TYPE {PREFIX}{name} {kind}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form() {
        let metrics = Metrics::default();
        metrics.count("jobs_total", &[("kind", "llm"), ("outcome", "failed")], 1.0);
        metrics.count("jobs_total", &[("kind", "llm"), ("outcome", "failed")], 2.0);
        metrics.count("odd_total", &[("name", "a\"b\\c")], 0.5);
        metrics.observe_size("embed_batch_size", &[], 3);
        let text = metrics.text(&[("job_queue_depth", vec![], 4.0)]);
        assert!(text.contains("# TYPE proxysql_genai_jobs_total counter\nproxysql_genai_jobs_total{kind=\"llm\",outcome=\"failed\"} 3\n"));
        assert!(text.contains("proxysql_genai_odd_total{name=\"a\\\"b\\\\c\"} 0.5\n"));
        assert!(
            text.contains("# TYPE proxysql_genai_job_queue_depth gauge\nproxysql_genai_job_queue_depth 4\n")
        );
        assert!(text.contains("proxysql_genai_embed_batch_size_bucket{le=\"2\"} 0\n"));
        assert!(text.contains("proxysql_genai_embed_batch_size_bucket{le=\"4\"} 1\n"));
        assert!(text.contains("proxysql_genai_embed_batch_size_sum 3\n"));
    }

    #[test]
    fn series_are_bounded() {
        let metrics = Metrics::default();
        for n in 0..SERIES_MAX + 10 {
            metrics.count("x_total", &[("n", &n.to_string())], 1.0);
        }
        assert_eq!(metrics.text(&[]).lines().count(), SERIES_MAX + 1);
    }
}
