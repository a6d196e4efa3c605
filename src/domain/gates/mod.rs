//! Gates: what runs, under which name, what can be seen of it, and what follows from that.
//!
//! [`judge`] turns what is visible in the cluster into a verdict. Unknown is never Passed: a result
//! that is missing, unreadable or contradicts itself is an Error with its own message.

mod facts;
mod judge;
mod report;
mod spec;
mod state;
mod thresholds;
mod tries;
mod verdict;

pub use facts::{ContainerFacts, ContainerState, Disruption, GateFacts, JobEnd, PodFacts};
pub use judge::judge;
pub use report::{MetricRule, ReportRules};
pub use spec::{
    EnvVar, FETCH_CONTAINER, GATE_CONTAINER, GateKind, GateSpec, JobRequest, NOT_AGAIN,
    POLICY_COMPLIANCE, RequestRef, job_name, not_again, spec_hash,
};
pub use state::{Found, GateOutcome, GateResult, GateState, Limits, Reused, Terms};

#[cfg(test)]
mod tests;
