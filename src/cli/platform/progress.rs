//! What is shown while a command waits. Pure: two views in, lines out.

use jiff::Timestamp;

use super::view::{GateView, PromotionView, ReplicaView};
use super::words::{age, span};
use crate::domain::status::sign;

/// How long the operator may take to see an object before somebody should look after it.
const UNSEEN: jiff::SignedDuration = jiff::SignedDuration::from_secs(15);

/// The whole state, for a terminal.
pub(super) fn block(view: &PromotionView, now: Timestamp) -> Vec<String> {
    let mut lines = vec![format!(
        "{}: {}, {}",
        head(view),
        view.stage,
        age(view.created_at, now)
    )];
    let widest = view
        .gates
        .iter()
        .map(|gate| gate.name.len())
        .max()
        .unwrap_or(0);
    lines.extend(view.gates.iter().map(|gate| gate_line(gate, widest)));
    lines.extend(
        view.replicas
            .iter()
            .map(|replica| format!("  replica {}", replica.line(now))),
    );
    lines.extend(waiting(view).map(|waiting| format!("  waits: {waiting}")));
    lines.extend(unseen(view, now).map(|hint| format!("  {hint}")));
    lines
}

/// What has changed, one line each, for a log.
pub(super) fn changes(before: Option<&PromotionView>, after: &PromotionView) -> Vec<String> {
    let mut lines = Vec::new();
    if before.map(|before| &before.stage) != Some(&after.stage) {
        lines.push(format!("{}: {}", head(after), after.stage));
    }
    let known = |gate: &GateView| {
        before.is_some_and(|before| {
            before
                .gates
                .iter()
                .any(|old| old.name == gate.name && old.outcome == gate.outcome)
        })
    };
    lines.extend(
        after
            .gates
            .iter()
            .filter(|gate| !known(gate))
            .map(|gate| gate_line(gate, 0)),
    );
    let known = |replica: &ReplicaView| {
        before.is_some_and(|before| {
            let mut known = before.replicas.iter();
            known.any(|old| old.name == replica.name && old.state == replica.state)
        })
    };
    let changed = after.replicas.iter().filter(|replica| !known(replica));
    lines.extend(changed.map(|replica| format!("  replica {}", replica.line(replica.since))));
    let said = waiting(after);
    if said.is_some() && said != before.and_then(waiting) {
        lines.extend(said.map(|waiting| format!("  waits: {waiting}")));
    }
    lines
}

/// A hint when nobody works on the object.
pub(super) fn unseen(view: &PromotionView, now: Timestamp) -> Option<&'static str> {
    let created = view.created_at?;
    (view.stage == "Pending" && now.duration_since(created) >= UNSEEN).then_some(
        "no operator has seen it yet; is floe running and watching this namespace? (kubectl get deploy -A | grep floe)",
    )
}

fn head(view: &PromotionView) -> String {
    let dry_run = if view.dry_run { " (dry run)" } else { "" };
    format!("{} -> {}{dry_run}", view.what(), view.to)
}

fn waiting(view: &PromotionView) -> Option<String> {
    view.waiting_since?;
    let reason = view.reason.as_deref()?;
    Some(format!(
        "{reason}: {}",
        view.message.as_deref().unwrap_or_default()
    ))
}

fn gate_line(gate: &GateView, widest: usize) -> String {
    let name = format!("{:<widest$}", gate.name);
    let time = gate
        .duration()
        .map(|duration| format!(" in {}", span(duration)));
    let message = gate
        .message
        .as_deref()
        .and_then(|message| message.lines().next());
    format!(
        "  {} {name}  {}{}{}",
        sign(&gate.outcome),
        gate.outcome,
        time.unwrap_or_default(),
        message
            .map(|message| format!(": {message}"))
            .unwrap_or_default()
    )
}
