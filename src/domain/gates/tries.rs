//! Gates that are run again: whether a try that failed is the last one.

use super::facts::{ContainerFacts, ContainerState, PodFacts};
use super::judge::{Case, later};
use super::spec::not_again;
use super::state::GateState;
use super::verdict::{Verdict, foreign};

impl Case<'_> {
    /// The last try has failed, and it is not the last one: Kubernetes starts another Pod, or the Job has
    /// completed with a Pod that is not seen yet.
    pub(super) fn waits_for_another_try(
        &self,
        pod: &PodFacts,
        gate: &ContainerFacts,
        verdict: &Verdict,
    ) -> Option<GateState> {
        let ContainerState::Terminated { exit_code, .. } = &gate.state else {
            return None;
        };
        if *exit_code == 0 || self.limits.retries == 0 || pod.disruption.is_some() {
            return None;
        }
        if let Some(end) = self.facts.job_end.as_ref().filter(|end| end.complete) {
            let message = "its result was lost: the Job completed, but its Pod is gone";
            return Some(self.after_late_pod(end.at, message.to_owned()));
        }
        if not_again(self.terms.report).contains(exit_code) {
            return None;
        }
        self.tried_again(&gate.state, &verdict.message)
    }

    /// It is tried again, as long as the Job has not ended, tries are left, and Kubernetes is not late.
    pub(super) fn tried_again(&self, last: &ContainerState, why: &str) -> Option<GateState> {
        let attempts = self.facts.attempts.max(1);
        if self.facts.job_end.is_some() || attempts > self.limits.retries {
            return None;
        }
        // The pause of the Job controller: 10 s, doubled with each failure.
        let pause = 10u32.saturating_mul(1 << (attempts - 1).min(6));
        let since = last.finished_at().unwrap_or(self.facts.created);
        let end = later(
            since,
            pause.saturating_add(self.limits.start_timeout_seconds),
        );
        (self.now < end).then(|| GateState::Running {
            since,
            doing: format!(
                "is tried again: try {attempts} of {} failed ({})",
                self.limits.retries + 1,
                foreign(why)
            ),
            look_again_at: Some(end),
        })
    }
}
