//! Who may do what: a table of requests and answers, asked at a real API server.

mod caller;
mod fixture;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use crate::harness::Rig;
use crate::wait::{seconds, within};
use caller::{Answered, Caller};

/// One row of the table.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    who: String,
    #[serde(rename = "do")]
    does: Do,
    at: String,
    #[serde(default)]
    with: Value,
    answer: Answer,
    #[serde(default)]
    says: String,
    #[serde(default)]
    stored: BTreeMap<String, String>,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Do {
    Create,
    Patch,
    Json,
    Apply,
    Update,
    Delete,
    DeleteCollection,
    Connect,
}

/// Who says what.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Allowed,
    /// RBAC says no.
    Rights,
    /// An admission policy says no.
    Policy,
    /// The schema or a rule of the CRD says no.
    Object,
    /// There is no such thing.
    Nothing,
    /// The API server would have handed it to a node.
    Node,
}

/// Fewer rows prove less.
const LEAST: usize = 80;

pub async fn everybody_may_do_what_the_table_says_and_nothing_else(rig: Rig) {
    let rows: Vec<Row> = serde_saphyr::from_str(include_str!("table.yaml")).expect("a table");
    assert!(rows.len() >= LEAST, "{} rows", rows.len());
    let caller = Caller::new(&rig.control_plane);
    fixture::make(&rig, &caller).await;
    // Rights take a moment to act. Whether they are right, the table says.
    let allowed = rows.iter().filter(|row| row.answer == Answer::Allowed);
    let allowed: Vec<&Row> = allowed.collect();
    within(seconds(20), async || {
        for row in &allowed {
            if caller.ask(row).await.answer != Some(Answer::Allowed) {
                return None;
            }
        }
        Some(())
    })
    .await;
    let mut wrong = Vec::new();
    for row in &rows {
        let answered = caller.ask(row).await;
        let problem = row.differs(&answered);
        let sign = if problem.is_none() {
            "as expected"
        } else {
            "WRONG"
        };
        println!("access: {} -> {:?} ({sign})", row.shown(), row.answer);
        wrong.extend(problem.map(|problem| format!("{}: {problem}", row.shown())));
    }
    rig.report(format!(
        "access: {} of {} answers as the table says",
        rows.len() - wrong.len(),
        rows.len()
    ));
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

impl Row {
    fn shown(&self) -> String {
        let with = if self.with.is_null() {
            String::new()
        } else {
            format!(" {}", self.with)
        };
        format!("{} {:?} {}{with}", self.who, self.does, self.at)
    }

    /// What is not as the row says.
    fn differs(&self, answered: &Answered) -> Option<String> {
        let Answered { answer, code, body } = answered;
        let message = body["message"].as_str().unwrap_or_default();
        if *answer != Some(self.answer) {
            return Some(format!("{code}, not {:?}: {message}", self.answer));
        }
        if !message.contains(&self.says) {
            return Some(format!("it does not say '{}': {message}", self.says));
        }
        self.stored.iter().find_map(|(pointer, wanted)| {
            let found = body.pointer(pointer).and_then(Value::as_str);
            (found != Some(wanted)).then(|| format!("{pointer} is {found:?}, not {wanted}"))
        })
    }
}
