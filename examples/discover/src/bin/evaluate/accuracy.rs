//! Execution accuracy of text to SQL on the sample: what a model's statements give beside what gold statements give; it trains nothing.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ai_core::LlmClient;
use bridge_ai::ai_tools;
use bridge_host::{Host, HostConfig, TargetSpec};
use mcp::{CallContext, Caller, Scope, ToolHandler as _, ToolSet as _};
use serde_json::{Map, Value, json};

use crate::{Failure, ratio, sample, say};

/// Rows of one answer that are compared.
const ROWS_MAX: u64 = 2_000;
/// Longest conversion.
const LATENCY_MS_MAX: u64 = 600_000;

/// What a model made of the questions.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Score {
    /// Questions asked.
    pub(crate) questions: usize,
    /// Questions with a statement that passed verification.
    pub(crate) answered: usize,
    /// Statements that gave the rows of the gold statement.
    pub(crate) right: usize,
    /// Statements that passed verification and yet did not run.
    pub(crate) broken: usize,
}

/// Questions with their gold statements.
pub(crate) fn gold() -> impl Iterator<Item = (&'static str, &'static str)> {
    let lines = include_str!("gold.txt").lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once('|')).map(|(question, sql)| (question.trim(), sql.trim()))
}

/// The sample behind a whole host, harvested.
pub(crate) struct Shop {
    host: Host,
}

impl Shop {
    pub(crate) fn open(folder: &Path) -> Result<Self, Failure> {
        let file = folder.join("accuracy.sqlite");
        sample::create(&file)?;
        let mut config = HostConfig::new(folder.join("host"));
        config.targets.push(TargetSpec::parse(&format!("shop=sqlite:{}", file.display()))?);
        let host = Host::open(config)?;
        host.harvest("shop", |_| {})?;
        Ok(Self { host })
    }

    /// Rows of a statement as sorted texts; columns and rows in any order are the same answer.
    pub(crate) fn rows(&self, sql: &str) -> Result<Vec<Vec<String>>, Failure> {
        let path = "/mcp/query";
        let cx = CallContext::new(Caller::new("evaluate", Scope::Full), path);
        let args = object(json!({"target_id": "shop", "sql": sql, "max_rows": ROWS_MAX}));
        let answer = self.host.registry().tool_set(path).call(&cx, "run_sql_readonly", args)?;
        let answer = answer.structured_value().unwrap_or_default();
        let rows = answer["rows"].as_array().cloned().unwrap_or_default();
        let mut rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
        rows.sort();
        Ok(rows)
    }

    /// Asks the model every question, and runs what it answers.
    pub(crate) fn score(&self, model: Arc<dyn LlmClient>, tell: bool) -> Result<Score, Failure> {
        let tools = ai_tools(&self.host.ai().clone().with_model(model));
        let cx = CallContext::new(Caller::new("evaluate", Scope::Full), "/mcp/ai");
        let mut score = Score::default();
        for (question, sql) in gold() {
            score.questions += 1;
            let args = json!({"target_id": "shop", "natural_language": question, "max_latency_ms": LATENCY_MS_MAX,
                              "allow_cache": false});
            let started = Instant::now();
            let answer = tools.call(&cx, "ai.nl2sql_convert", object(args));
            let told = match answer {
                Err(error) => format!("refused: {}", reason(&error)),
                Ok(output) => {
                    let answer = output.structured_value().unwrap_or_default();
                    score.answered += 1;
                    match self.rows(answer["sql"].as_str().unwrap_or_default()) {
                        Err(error) => {
                            score.broken += 1;
                            format!("passed and does not run: {error}")
                        }
                        Ok(rows) if rows == self.rows(sql)? => {
                            score.right += 1;
                            "right".to_owned()
                        }
                        Ok(_) => format!("other rows: {}", answer["sql"]),
                    }
                }
            };
            if tell {
                say(&format!("  {:>6.1} s  {question}  {told}", started.elapsed().as_secs_f64()));
            }
        }
        Ok(score)
    }

    pub(crate) fn close(&self) {
        self.host.close();
    }
}

fn reason(error: &mcp::ToolError) -> String {
    let last = error.details.get("reasons").and_then(Value::as_array).and_then(|list| list.last());
    let text = last.and_then(Value::as_str).map_or_else(|| error.message.clone(), str::to_owned);
    text.chars().take(120).collect()
}

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// The cells of a row in order of their text; numbers to six digits.
fn cells(row: &Value) -> Vec<String> {
    let text = |cell: &Value| {
        let number = cell.as_f64().or_else(|| cell.as_str()?.parse().ok());
        number.map_or_else(|| cell.to_string(), |number| format!("{number:.6}"))
    };
    let mut cells: Vec<String> = row.as_array().into_iter().flatten().map(text).collect();
    cells.sort();
    cells
}

/// Prints the table for one model.
pub(crate) fn measure(folder: &Path, model: Arc<dyn LlmClient>, name: &str) -> Result<bool, Failure> {
    let shop = Shop::open(folder)?;
    say(&format!("\ntext to SQL with {name} on the sample"));
    let score = shop.score(model, true)?;
    shop.close();
    say(&format!(
        "{:<12}{:>10}{:>10}{:>8}{:>22}\n{:<12}{:>10}{:>10}{:>8}{:>22.3}",
        "model",
        "questions",
        "verified",
        "right",
        "execution accuracy",
        name.chars().take(11).collect::<String>(),
        score.questions,
        score.answered,
        score.right,
        ratio(score.right, score.questions)
    ));
    // A weak model is no fault of ours; a statement that was verified and does not run is.
    Ok(score.broken == 0)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ai_core::{FakeAnswer, FakeLlm};
    use serde_json::json;

    use super::{Score, Shop, gold};

    fn says(sql: &str) -> FakeAnswer {
        FakeAnswer::Text(json!({"sql": sql, "explanation": "", "tables": [], "confidence": 0.9}).to_string())
    }

    #[test]
    fn gold_statements_answer_and_the_score_tells_right_from_wrong() {
        let folder = tempfile::tempdir().expect("a folder");
        let shop = Shop::open(folder.path()).expect("opens");
        for (question, sql) in gold() {
            let rows = shop.rows(sql).unwrap_or_else(|e| panic!("{question}: {e}"));
            assert!(!rows.is_empty(), "{question}");
        }
        let count = gold().count();
        assert!(count >= 25, "{count}");
        let perfect = Arc::new(FakeLlm::new(gold().map(|(_, sql)| says(sql))));
        let all = Score { questions: count, answered: count, right: count, broken: 0 };
        assert_eq!(shop.score(perfect, false).expect("asks"), all);
        // The same rows in another order are right; other rows are not; what does not pass is refused.
        let answers = gold().enumerate().flat_map(|(at, (_, sql))| match at % 3 {
            0 => vec![says(&format!("SELECT * FROM ({sql}) ORDER BY 1 DESC"))],
            1 => vec![says("SELECT 'something', 'else'")],
            _ => vec![says("DELETE FROM orders"), says("SELECT x FROM nowhere"), says("gibberish")],
        });
        let mixed = shop.score(Arc::new(FakeLlm::new(answers)), false).expect("asks");
        assert_eq!((mixed.right, mixed.answered), (count.div_ceil(3), count - count / 3));
        shop.close();
    }
}
