//! The overview as text.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::overview::{Overview, Row};
use super::present::{Present, policy_name, promotion_name, table};
use super::view::PromotionView;
use super::words::{age, dash, or_dash, short_digest};
use crate::effects::clock;

/// Failed promotions in the table; JSON and `-o wide` have all of them.
const SHOWN_FAILURES: usize = 5;

impl Present for Overview {
    fn text(&self, wide: bool) -> String {
        self.render(wide, clock::now())
    }

    fn names(&self) -> Vec<String> {
        let environments: BTreeSet<&str> = self
            .environments
            .iter()
            .map(|row| row.environment.as_str())
            .collect();
        let promotions = self.pending.iter().chain(&self.failed);
        environments
            .into_iter()
            .map(policy_name)
            .chain(promotions.map(|view| promotion_name(&view.name)))
            .collect()
    }
}

impl Overview {
    fn render(&self, wide: bool, now: Timestamp) -> String {
        if self.environments.is_empty() {
            return format!(
                "Namespace '{}' has no EnvironmentPolicies: create one for each environment, or name another namespace with -n.\n",
                self.namespace
            );
        }
        let mut sections = vec![environments_table(&self.environments, wide, now)];
        let problems = self.environments.iter().filter_map(|row| {
            let problem = row.problem.as_ref()?;
            Some(format!("environment '{}': {problem}\n", row.environment))
        });
        sections.extend(problems);
        let mut drift: Vec<String> = self
            .environments
            .iter()
            .filter(|row| !row.drift.is_empty())
            .map(|row| {
                format!(
                    "environment '{}': {}\n",
                    row.environment,
                    row.drift.join("\n  ")
                )
            })
            .collect();
        // What nobody knows about a whole environment is said once.
        drift.dedup();
        sections.extend(drift);
        if !self.pending.is_empty() {
            let since = |view: &PromotionView| view.waiting_since.or(view.created_at);
            let rows = promotions_table(&self.pending, "FOR", now, since);
            sections.push(format!("Pending\n{rows}"));
        }
        if !self.replicating.is_empty() {
            sections.push(format!(
                "Replicas behind\n{}",
                replicas_table(&self.replicating, now)
            ));
        }
        if !self.failed.is_empty() {
            sections.push(self.failures(wide, now));
        }
        sections.join("\n")
    }

    fn failures(&self, wide: bool, now: Timestamp) -> String {
        let most = if wide { usize::MAX } else { SHOWN_FAILURES };
        let shown = &self.failed[..self.failed.len().min(most)];
        let rows = promotions_table(shown, "AGO", now, |view| view.finished_at);
        let hidden = match self.failed.len() - shown.len() {
            0 => String::new(),
            hidden => format!("... and {hidden} more (-o wide)\n"),
        };
        format!(
            "Failed\n{rows}{hidden}\nMore about one of them: floe platform status NAME -n {}\n",
            self.namespace
        )
    }
}

fn environments_table(rows: &[Row], wide: bool, now: Timestamp) -> String {
    let mut header = vec![
        "ENVIRONMENT",
        "ARTIFACT",
        "VERSION",
        "DIGEST",
        "PROMOTED",
        "BY",
        "GATES",
        "IN FLIGHT",
    ];
    if wide {
        header.extend(["FROM", "PROMOTION", "REPOSITORY"]);
    }
    let cells = |row: &Row| {
        let mut cells = vec![
            row.environment.clone(),
            row.artifact.clone(),
            or_dash(row.version.as_deref()),
            if wide {
                or_dash(row.digest.as_deref())
            } else {
                short_digest(row.digest.as_deref())
            },
            age(row.promoted_at, now),
            or_dash(row.by.as_deref()),
            or_dash(row.gate_summary.as_deref()),
            or_dash(Some(row.in_flight.join(", ").as_str()).filter(|text| !text.is_empty())),
        ];
        if wide {
            let from = row.promotes_from.join(", ");
            cells.push(if from.is_empty() { dash() } else { from });
            cells.push(or_dash(row.promotion.as_deref()));
            cells.push(row.repository.clone());
        }
        cells
    };
    table(&header, rows.iter().map(cells).collect())
}

fn replicas_table(views: &[PromotionView], now: Timestamp) -> String {
    let header = ["PROMOTION", "VERSION", "TO", "REPLICA"];
    let rows = views.iter().flat_map(|view| {
        let behind = view.replicas.iter();
        let behind = behind.filter(|replica| replica.state != "Replicated");
        behind.map(|replica| {
            vec![
                view.name.clone(),
                view.version.clone(),
                view.to.clone(),
                replica.line(now),
            ]
        })
    });
    table(&header, rows.collect())
}

fn promotions_table(
    views: &[PromotionView],
    when: &str,
    now: Timestamp,
    time: impl Fn(&PromotionView) -> Option<Timestamp>,
) -> String {
    let header = ["PROMOTION", "VERSION", "TO", "GATES", when, "WHY"];
    let rows = views.iter().map(|view| {
        let reason = view.reason.as_deref().unwrap_or(&view.stage);
        let why = match &view.message {
            Some(message) => format!("{reason}: {message}"),
            None => reason.to_owned(),
        };
        vec![
            view.name.clone(),
            view.version.clone(),
            view.to.clone(),
            or_dash(view.gate_summary.as_deref()),
            age(time(view), now),
            why,
        ]
    });
    table(&header, rows.collect())
}
