//! One line: what it says, its bytes, and how they are read again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::domain::artifact::Digest;

/// Longest line in bytes, its end included.
pub const LINE_MAX: usize = 64 << 10;
/// Longest text of a field, in characters: with every one of them escaped, the fields fit into a line.
const TEXT_MAX: usize = 512;
/// Longest message, in characters.
const MESSAGE_MAX: usize = 1024;
/// Digits of a line's own check sum.
const CHECK_DIGITS: usize = 16;

/// A line of the audit log of an operator. What is not known is left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Line {
    /// Name of the log. An operator process goes on in the log that it finds on its volume.
    pub log_id: String,
    /// Number of the line in its log, from 1, without gaps.
    pub sequence: u64,
    /// SHA-256 of the line before, as its exact bytes without the end of line; absent in the first line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub previous: Option<Digest>,
    /// When it was written.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The operator process that wrote it.
    pub operator: String,
    /// What has happened.
    pub event: Event,
    /// The request that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<About>,
    /// How the request ended, as a stable word: `Promoted`, `AlreadyPromoted`, `GateFailed`, `Aborted`, ….
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the decision to promote was stored: from then on its first tag may be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub decided_at: Option<Timestamp>,
    /// Where its record stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain: Option<Chain>,
    /// What was cut off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torn: Option<Torn>,
    /// Logs in the same place that are broken: they are left as they are, and nobody goes on in them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub broken_logs: Vec<String>,
    /// The first 16 digits of the SHA-256 of this line without this field. It shows damage of the last line; that
    /// nobody has changed a line is shown by `previous` of the next one.
    pub check: String,
}

/// What has happened.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
pub enum Event {
    /// A process has begun to write here.
    Opened,
    /// The decision to promote is stored, and the first tag comes next.
    Intent,
    /// A request has ended, well or not.
    Result,
    /// The write slot of another process was taken over.
    TakeOver,
    /// The last line had no end, as after a crash or on a full disk, and was cut off.
    Torn,
}

/// A request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct About {
    /// `Promotion`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Its namespace.
    pub space: String,
    /// Environment that it enters.
    pub environment: String,
    /// Artifact; absent when it was not named and could not be resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact: Option<String>,
    /// Version.
    pub version: String,
    /// Digest of the artifact, once it was resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Repository in which the tags are written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repository: Option<String>,
    /// Tag that is written once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    /// Who asked, as the API server authenticated them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requested_by: Option<String>,
    /// For whom automation asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_behalf_of: Option<String>,
    /// Nothing is written for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dry_run: bool,
}

/// Where the record of a promotion stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Chain {
    /// Its number in the chain of space, environment and artifact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// Its identity: SHA-256 of its payload.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<String>,
    /// Digest of the manifest in the registry that holds it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
}

/// What was cut off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Torn {
    /// How many bytes.
    pub bytes: u64,
    /// Their SHA-256.
    #[schemars(with = "String")]
    pub digest: Digest,
}

/// What a line is to say, besides its place in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What has happened.
    pub event: Event,
    /// The request that it is about.
    pub request: Option<About>,
    /// How it ended.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// When the decision to promote was stored.
    pub decided_at: Option<Timestamp>,
    /// Where its record stands.
    pub chain: Option<Chain>,
    /// What was cut off.
    pub torn: Option<Torn>,
    /// Logs that are broken.
    pub broken_logs: Vec<String>,
}

/// Where a log ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Name of the log.
    pub log_id: String,
    /// Number of its last line; 0 before the first one.
    pub sequence: u64,
    /// SHA-256 of its last line.
    pub digest: Option<Digest>,
}

/// Why bytes are no line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotALine {
    /// They are damaged.
    #[error("its check sum is wrong")]
    Damaged,
    /// They are no line of this form.
    #[error("it is no line of an audit log: {0}")]
    Form(String),
}

impl Entry {
    /// An entry that says nothing yet.
    pub fn of(event: Event) -> Self {
        Self {
            event,
            request: None,
            reason: None,
            message: None,
            decided_at: None,
            chain: None,
            torn: None,
            broken_logs: Vec::new(),
        }
    }

    /// What makes two lines the same: an intent, a take-over and an end are told once. `None` for what may come
    /// again.
    pub fn told_once(&self, at: Timestamp) -> Option<String> {
        told_once(self.event, self.request.as_ref()?, self.decided_at, at)
    }
}

impl Head {
    /// Before the first line of a log.
    pub fn new(log_id: String) -> Self {
        Self {
            log_id,
            sequence: 0,
            digest: None,
        }
    }
}

impl Line {
    /// The line after this head, with its bytes (without the end of line) and the head behind it.
    pub fn after(head: &Head, at: Timestamp, operator: &str, entry: Entry) -> (Vec<u8>, Head) {
        let Entry {
            event,
            request,
            reason,
            message,
            decided_at,
            chain,
            torn,
            broken_logs,
        } = entry;
        let line = Self {
            log_id: head.log_id.clone(),
            sequence: head.sequence + 1,
            previous: head.digest.clone(),
            at,
            operator: short(operator, TEXT_MAX),
            event,
            request: request.map(About::shortened),
            reason: reason.map(|text| short(&text, TEXT_MAX)),
            message: message.map(|text| short(&text, MESSAGE_MAX)),
            decided_at,
            chain: chain.map(Chain::shortened),
            torn,
            broken_logs: broken_logs
                .iter()
                .map(|id| short(id, 64))
                .take(16)
                .collect(),
            check: String::new(),
        };
        let bytes = checked(&line);
        let head = Head {
            log_id: line.log_id,
            sequence: line.sequence,
            digest: Some(Digest::of(&bytes)),
        };
        (bytes, head)
    }

    /// Reads the bytes of a line, without its end.
    pub fn read(bytes: &[u8]) -> Result<Self, NotALine> {
        let line: Self =
            serde_json::from_slice(bytes).map_err(|why| NotALine::Form(why.to_string()))?;
        let (body, tail) = bytes
            .split_at_checked(bytes.len().saturating_sub(tail_of("").len() + CHECK_DIGITS))
            .ok_or(NotALine::Damaged)?;
        if tail != tail_of(&line.check).as_bytes() || line.check != check_of(body) {
            return Err(NotALine::Damaged);
        }
        Ok(line)
    }

    /// See [`Entry::told_once`].
    pub fn told_once(&self) -> Option<String> {
        told_once(self.event, self.request.as_ref()?, self.decided_at, self.at)
    }
}

impl About {
    fn shortened(self) -> Self {
        let cut = |text: Option<String>| text.map(|text| short(&text, TEXT_MAX));
        Self {
            kind: short(&self.kind, TEXT_MAX),
            name: short(&self.name, TEXT_MAX),
            uid: short(&self.uid, TEXT_MAX),
            space: short(&self.space, TEXT_MAX),
            environment: short(&self.environment, TEXT_MAX),
            artifact: cut(self.artifact),
            version: short(&self.version, TEXT_MAX),
            digest: cut(self.digest),
            repository: cut(self.repository),
            tag: cut(self.tag),
            requested_by: cut(self.requested_by),
            on_behalf_of: cut(self.on_behalf_of),
            dry_run: self.dry_run,
        }
    }
}

impl Chain {
    fn shortened(self) -> Self {
        Self {
            sequence: self.sequence,
            record: self.record.map(|text| short(&text, TEXT_MAX)),
            referrer: self.referrer.map(|text| short(&text, TEXT_MAX)),
        }
    }
}

fn told_once(
    event: Event,
    about: &About,
    decided_at: Option<Timestamp>,
    at: Timestamp,
) -> Option<String> {
    let uid = &about.uid;
    match event {
        Event::Intent => Some(format!("{event:?} {uid} {}", decided_at?)),
        Event::TakeOver => Some(format!("{event:?} {uid} {at}")),
        Event::Result => Some(format!("{event:?} {uid}")),
        Event::Opened | Event::Torn => None,
    }
}

/// The bytes of a line whose check sum is still empty, with it.
fn checked(line: &Line) -> Vec<u8> {
    // Strings, numbers, lists: none of them can fail.
    let mut bytes = serde_json::to_vec(line).unwrap_or_default();
    bytes.truncate(bytes.len().saturating_sub(tail_of("").len()));
    let check = check_of(&bytes);
    bytes.extend_from_slice(tail_of(&check).as_bytes());
    bytes
}

/// The end of a line: its last field.
fn tail_of(check: &str) -> String {
    format!(r#","check":"{check}"}}"#)
}

/// The check sum of a line whose last field is taken off.
fn check_of(body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(body);
    hash.update(b"}");
    let digits = hex::encode(hash.finalize());
    digits.get(..CHECK_DIGITS).unwrap_or_default().to_owned()
}

fn short(text: &str, longest: usize) -> String {
    if text.chars().count() <= longest {
        return text.to_owned();
    }
    text.chars().take(longest - 1).chain(['…']).collect()
}
