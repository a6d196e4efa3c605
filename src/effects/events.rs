//! Events on objects: a view for people, best effort, never the record.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder};

/// Longest note that the API server takes, in bytes.
const NOTE_MAX: usize = 1000;
/// How long an Event may take before it is given up.
const LIMIT: Duration = Duration::from_secs(5);

/// What an Event says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Something a person should look at.
    pub warning: bool,
    /// What was being done: `Promote`, or the name of a gate. Two notes of one reason and action within
    /// six minutes become one.
    pub action: String,
    /// Stable word.
    pub reason: String,
    /// Sentence.
    pub text: String,
}

/// Writes an Event; a failure is logged and changes nothing.
pub async fn publish(recorder: &Recorder, about: &ObjectReference, note: &Note) {
    let mut text = note.text.clone();
    while text.len() > NOTE_MAX {
        text.pop();
    }
    let event = Event {
        type_: if note.warning {
            EventType::Warning
        } else {
            EventType::Normal
        },
        reason: note.reason.clone(),
        note: Some(text),
        action: note.action.clone(),
        secondary: None,
    };
    match tokio::time::timeout(LIMIT, recorder.publish(&event, about)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, reason = note.reason, "cannot write an event"),
        Err(_) => tracing::warn!(reason = note.reason, "writing an event took too long"),
    }
}
