use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What can be seen of a gate's Job and its Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct GateFacts {
    /// UID of the Job.
    pub job_uid: String,
    /// UID of the request that controls the Job; whose Job it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner_uid: Option<String>,
    /// The Job's own statement of what it was made for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spec_hash: Option<String>,
    /// When the Job was created.
    pub created: Timestamp,
    /// Pods that it has started, without those that were ended from outside and do not count.
    #[serde(default)]
    pub attempts: u32,
    /// How the Job ended, when it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub job_end: Option<JobEnd>,
    /// Its newest Pod. Pods that the Job does not control are not looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodFacts>,
}

impl GateFacts {
    /// Whether this is the Job that the request made for this specification, and not one that
    /// somebody else put under its name.
    pub fn is_ours(&self, request_uid: &str, spec_hash: &str) -> bool {
        self.owner_uid.as_deref() == Some(request_uid)
            && self.spec_hash.as_deref() == Some(spec_hash)
    }
}

/// How a Job ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct JobEnd {
    /// Complete, not Failed.
    pub complete: bool,
    /// Reason of the condition, such as `BackoffLimitExceeded`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Message of the condition.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ended. The last state of its Pod may reach the operator a little later.
    pub at: Timestamp,
}

/// What can be seen of a Pod.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PodFacts {
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created: Timestamp,
    /// When a node took it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// Why no node takes it, in the scheduler's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unschedulable: Option<String>,
    /// It is being deleted.
    #[serde(default)]
    pub deleting: bool,
    /// Why it was ended from outside, when it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disruption: Option<Disruption>,
    /// In what it differs from the Pod that its Job asks for, when it does: then its result is nobody's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub altered: Option<String>,
    /// It has ended: no container will run any more.
    #[serde(default)]
    pub ended: bool,
    /// The container that fetches the artifact. PolicyCompliance has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fetch: Option<ContainerFacts>,
    /// The container of the gate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gate: Option<ContainerFacts>,
}

/// Why a Pod was ended from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Disruption {
    /// Reason, such as `Evicted`, `DeadlineExceeded` or `EvictionByEvictionAPI`.
    pub reason: String,
    /// The same in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Kubernetes starts another Pod for it, without counting it as a failure.
    #[serde(default)]
    pub retried: bool,
}

/// What can be seen of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerFacts {
    /// Image as the Pod names it.
    pub image: String,
    /// Image that really ran, as the node reported it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_id: Option<String>,
    /// What it does.
    pub state: ContainerState,
}

/// What a container does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    rename_all_fields = "camelCase",
    deny_unknown_fields
)]
pub enum ContainerState {
    /// It does not run yet.
    Waiting {
        /// Reason, such as `ContainerCreating` or `ErrImagePull`; empty when the node says nothing.
        #[serde(default)]
        reason: String,
        /// The same in words.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// Since when it could run: the end of the container before it, or the start of the Pod.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        since: Option<Timestamp>,
    },
    /// It runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// It has ended.
    Terminated {
        /// Its exit code.
        exit_code: i32,
        /// Reason, such as `Completed`, `Error`, `OOMKilled` or `StartError`.
        #[serde(default)]
        reason: String,
        /// What it, or the node, wrote as its last word: the summary, when all is well.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
        /// When it started.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        started_at: Option<Timestamp>,
        /// When it ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        finished_at: Option<Timestamp>,
    },
}

impl ContainerState {
    /// When the container started, when it has.
    pub fn started_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. } => None,
            Self::Running { since } => Some(*since),
            Self::Terminated { started_at, .. } => *started_at,
        }
    }

    /// When the container ended, when it has.
    pub fn finished_at(&self) -> Option<Timestamp> {
        match self {
            Self::Waiting { .. } | Self::Running { .. } => None,
            Self::Terminated { finished_at, .. } => *finished_at,
        }
    }

    /// Whether it will not run any more.
    pub fn has_ended(&self) -> bool {
        match self {
            Self::Waiting { .. } | Self::Running { .. } => false,
            Self::Terminated { .. } => true,
        }
    }
}
