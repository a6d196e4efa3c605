//! One Promotion as a block of text: where it stands, its gates, what to do next.

use jiff::Timestamp;

use super::gate_block;
use super::present::{Present, promotion_name};
use super::view::{PromotionView, SignatureView};
use super::words::{age, or_dash, span};
use crate::effects::clock;

impl Present for PromotionView {
    fn text(&self, wide: bool) -> String {
        detail(self, wide, clock::now())
    }

    fn names(&self) -> Vec<String> {
        vec![promotion_name(&self.name)]
    }
}

/// The block; `wide` adds images and Jobs of gates that passed.
pub(super) fn detail(view: &PromotionView, wide: bool, now: Timestamp) -> String {
    let mut lines = vec![view.object()];
    let mut field = |name: &str, value: Option<String>| {
        lines.extend(value.map(|value| format!("  {name:<10}{value}")));
    };
    field("artifact", Some(view.what()));
    field("way", Some(way(view)));
    field("stage", Some(stage(view, now)));
    field("why", ended_because(view));
    field("waits", waiting(view, now));
    field("digest", view.digest.clone());
    field("signed", view.signature.as_ref().map(signed));
    field(
        "source",
        view.source_repository
            .as_ref()
            .or(view.repository.as_ref())
            .zip(view.source_tag.as_ref())
            .map(|(repository, tag)| format!("{repository}:{tag}")),
    );
    field(if promoted(view) { "tags" } else { "writes" }, tags(view));
    field(
        "into",
        view.repository
            .clone()
            .filter(|_| view.source_repository.is_some()),
    );
    field(
        "record",
        view.record.as_ref().map(|record| {
            format!(
                "#{} {}\nin {}",
                record.sequence, record.record, record.referrer
            )
        }),
    );
    field("asked by", Some(requested(view, now)));
    field("abort by", view.aborted_by.clone());
    field("retry of", view.retry_of.clone());
    if !view.gates.is_empty() {
        lines.push("Gates".to_owned());
        let widest = view
            .gates
            .iter()
            .map(|gate| gate.name.chars().count())
            .max();
        for gate in &view.gates {
            lines.extend(gate_block::lines(gate, widest.unwrap_or_default(), wide));
        }
    }
    if !view.replicas.is_empty() {
        lines.push("Replicas".to_owned());
        for replica in &view.replicas {
            lines.push(format!("  {}", replica.line(now)));
            lines.push(format!("      {}", replica.repository));
        }
    }
    lines.extend(view.next.as_ref().map(|next| format!("Next: {next}")));
    lines.join("\n") + "\n"
}

fn promoted(view: &PromotionView) -> bool {
    matches!(view.reason.as_deref(), Some("Promoted" | "AlreadyPromoted"))
}

/// The tags that were written or will be; nothing when it ended without.
fn tags(view: &PromotionView) -> Option<String> {
    let ended_without = view.finished_at.is_some() && !promoted(view);
    if view.dry_run || ended_without {
        return None;
    }
    let (tag, latest) = view.tag.as_ref().zip(view.latest_tag.as_ref())?;
    Some(format!("{tag}, {latest}"))
}

fn signed(signature: &SignatureView) -> String {
    match &signature.message {
        None => format!("by {}", signature.by.join(", ")),
        Some(why) => format!("not proven: {why}"),
    }
}

fn way(view: &PromotionView) -> String {
    let from = view.from.as_deref().unwrap_or("published");
    let dry_run = if view.dry_run { " (dry run)" } else { "" };
    format!("{from} -> {}{dry_run}", view.to)
}

fn stage(view: &PromotionView, now: Timestamp) -> String {
    match (view.finished_at, view.created_at) {
        (Some(finished), Some(created)) => format!(
            "{}, {} ago, after {}",
            view.stage,
            age(Some(finished), now),
            span(finished.duration_since(created))
        ),
        _ if view.stage == "Pending" => "Pending: no operator has seen it yet".to_owned(),
        _ => format!("{}, for {}", view.stage, age(view.created_at, now)),
    }
}

fn ended_because(view: &PromotionView) -> Option<String> {
    view.finished_at?;
    let reason = view.reason.as_deref()?;
    Some(match view.message.as_deref() {
        Some(message) => format!("{reason}: {message}"),
        None => reason.to_owned(),
    })
}

fn waiting(view: &PromotionView, now: Timestamp) -> Option<String> {
    let since = view.waiting_since?;
    Some(format!(
        "{}, since {}: {}",
        or_dash(view.reason.as_deref()),
        age(Some(since), now),
        or_dash(view.message.as_deref())
    ))
}

fn requested(view: &PromotionView, now: Timestamp) -> String {
    let by = view.requested_by.iter().map(|by| match &view.on_behalf_of {
        Some(person) => format!("{by} for {person}, "),
        None => format!("{by}, "),
    });
    let ago = format!("{} ago", age(view.created_at, now));
    let why = view.request_reason.iter().map(|why| format!(": {why}"));
    by.chain([ago]).chain(why).collect()
}
