//! Gates: what runs, under which name, what can be seen of it, and what follows from that.
//!
//! [`judge`] turns what is visible in the cluster into a verdict. Unknown is never Passed: a result
//! that is missing, unreadable or contradicts itself is an Error with its own message.

mod facts;
mod judge;
mod spec;
mod state;
mod verdict;

pub use facts::{ContainerFacts, ContainerState, Disruption, GateFacts, JobEnd, PodFacts};
pub use judge::judge;
pub use spec::{
    EnvVar, FETCH_CONTAINER, GATE_CONTAINER, GateKind, GateSpec, JobRequest, POLICY_COMPLIANCE,
    RequestRef, job_name, spec_hash,
};
pub use state::{GateOutcome, GateResult, GateState, Limits};

#[cfg(test)]
mod tests;
