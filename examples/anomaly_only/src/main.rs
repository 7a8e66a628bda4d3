//! A host that takes only the detector: judge, report the outcome, ask for the incident; no database here.
#![expect(clippy::print_stdout, reason = "an example shows what it does")]

use ai_core_anomaly::{Detector, DetectorConfig, Dialect, PostQueryFeedback, StatementContext};
use std::time::Duration;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let detector = Detector::new(DetectorConfig::default())?;
    let statements = [
        "SELECT id, name FROM products WHERE id = 42",
        "SELECT id, name FROM products WHERE id = 42 OR 1=1",
        "SELECT id FROM users WHERE name = 'x' UNION SELECT password FROM mysql.user -- '",
        "INSERT INTO notes (body) VALUES ('how to write '' OR 1=1 -- in SQL')",
    ];
    for sql in statements {
        let ctx = StatementContext::new(Dialect::MySql, sql.as_bytes()).user("shop").schema("shop");
        let verdict = detector.check(&ctx);
        println!("{:?} risk {:.2} {sql}", verdict.action, verdict.risk);
        for (rule, score) in verdict.rules() {
            println!("    {rule} {score:.2}");
        }
        if verdict.is_denied() {
            println!("    client sees {}: {}", verdict.code.sqlstate, verdict.client_message());
            continue;
        }
        // A real host runs the statement here and reports how it went.
        let outcome = PostQueryFeedback::new(verdict.digest, Duration::from_millis(3)).rows_sent(Some(1));
        detector.feedback(&ctx, &outcome);
    }
    for incident in detector.incidents(10, |_| true) {
        println!("{}", serde_json::to_string(&incident)?);
    }
    println!("{}", serde_json::to_string(&detector.stats())?);
    Ok(())
}
