use floe_gate::tail::cut_end;
use jiff::{SignedDuration, Timestamp};

use super::facts::{ContainerFacts, ContainerState, Disruption, GateFacts, PodFacts};
use super::state::{GateOutcome, GateResult, GateState, Limits, Terms};
use super::verdict::{Verdict, fetch_failure, foreign, verdict_of, with_reason};

/// How long an image may be impossible to pull: the node tries again, and a registry may come back.
const IMAGE_PATIENCE_SECONDS: u32 = 60;
/// How long the last state of a Pod may be later than the end of its Job: they come by two watches.
const LATE_POD_SECONDS: u32 = 10;
/// How much longer than its limit a running gate may seem to run: 5 s from TERM to KILL, the node's
/// report, and clocks that differ.
const REPORT_SLACK_SECONDS: u32 = 60;
/// Most bytes of a message, below what the API accepts.
const MAX_MESSAGE: usize = 1000;
/// Most bytes of output, below what the API accepts.
const MAX_OUTPUT: usize = 2000;

/// Where a gate stands, from what can be seen now. The Job must be ours
/// ([`GateFacts::is_ours`]); the caller checks that first.
pub fn judge(facts: &GateFacts, terms: &Terms<'_>, now: Timestamp) -> GateState {
    let case = Case {
        facts,
        limits: terms.limits,
        terms,
        now,
    };
    match &facts.pod {
        None => case.without_pod(),
        Some(pod) => case.with_pod(pod),
    }
}

pub(super) struct Case<'a> {
    pub(super) facts: &'a GateFacts,
    pub(super) limits: Limits,
    pub(super) terms: &'a Terms<'a>,
    pub(super) now: Timestamp,
}

impl Case<'_> {
    fn without_pod(&self) -> GateState {
        match &self.facts.job_end {
            Some(end) if end.complete => self.after_late_pod(
                end.at,
                "its result was lost: the Job completed, but its Pod is gone".into(),
            ),
            Some(end) => {
                let why = with_reason(end.reason.as_deref(), end.message.as_deref());
                self.after_late_pod(end.at, format!("its Pod was deleted before it ended{why}"))
            }
            None => self.until_started(
                self.facts.created,
                self.facts.created,
                "waits for Kubernetes to create its Pod; a quota or Pod Security may stand against it (kubectl describe job)".into(),
            ),
        }
    }

    fn with_pod(&self, pod: &PodFacts) -> GateState {
        if let Some(how) = &pod.altered {
            return self.error(
                pod,
                format!("its Pod '{}' is not the one that floe asked for ({how}), so its result counts for nothing", pod.name),
            );
        }
        if let Some(gate) = &pod.gate
            && let Some(verdict) = verdict_of(&gate.state, self.terms)
        {
            if let Some(waits) = self.waits_for_another_try(pod, gate, &verdict) {
                return waits;
            }
            return match (&verdict.outcome, &pod.disruption) {
                // What ended the Pod from outside explains the missing result better than its absence.
                (GateOutcome::Error, Some(disruption)) => self.disrupted(pod, disruption),
                (GateOutcome::Error, None) if pod.deleting => {
                    self.error(pod, "its Pod was deleted before it ended".into())
                }
                _ => self.ended(Some(gate), verdict),
            };
        }
        if let Some(disruption) = &pod.disruption {
            return self.disrupted(pod, disruption);
        }
        if let Some(ContainerFacts { state, .. }) = &pod.fetch
            && let Some(message) = fetch_failure(state)
        {
            return self
                .tried_again(state, &message)
                .unwrap_or_else(|| self.error(pod, message));
        }
        if let Some(end) = &self.facts.job_end {
            let why = with_reason(end.reason.as_deref(), end.message.as_deref());
            let message = if end.complete {
                "its result was lost: the Job completed, but its Pod does not say how".to_owned()
            } else {
                format!("its Job ended without a result{why}")
            };
            return self.after_late_pod(end.at, message);
        }
        if pod.ended {
            return self.error(pod, "its Pod ended without a result".into());
        }
        self.unfinished(pod)
    }

    /// No container has said a last word, and nothing from outside has ended the Pod.
    fn unfinished(&self, pod: &PodFacts) -> GateState {
        if let Some(ContainerState::Running { since }) = pod.gate.as_ref().map(|gate| &gate.state) {
            return self.runs(pod, *since);
        }
        if pod.deleting {
            return self.until_started(pod.created, pod.created, "its Pod is being deleted".into());
        }
        if let Some(reason) = &pod.unschedulable {
            let doing = format!("waits for a node: {}", foreign(reason));
            return self.until_started(pod.created, pod.created, doing);
        }
        let before = pod.fetch.as_ref().filter(|fetch| !fetch.state.has_ended());
        let (name, container) = match (before, &pod.gate) {
            (Some(fetch), _) => ("fetch", fetch),
            (None, Some(gate)) => ("gate", gate),
            (None, None) => {
                let doing = "waits for its Pod to start".to_owned();
                return self.until_started(pod.created, pod.created, doing);
            }
        };
        match &container.state {
            ContainerState::Waiting {
                reason,
                message,
                since,
            } => {
                let since = since.or(pod.started).unwrap_or(pod.created);
                if let Some(patience) = image_patience(reason) {
                    let why = with_reason(Some(reason), message.as_deref());
                    self.image_missing(pod, &container.image, &why, since, patience)
                } else {
                    let why = with_reason(Some(reason), message.as_deref());
                    let doing = format!("waits for the container '{name}' to start{why}");
                    self.until_started(pod.created, since, doing)
                }
            }
            ContainerState::Running { since } => {
                self.until_started(pod.created, *since, "fetches the artifact".into())
            }
            ContainerState::Terminated { finished_at, .. } => self.until_started(
                pod.created,
                finished_at.unwrap_or(pod.created),
                "has fetched the artifact".into(),
            ),
        }
    }

    fn runs(&self, pod: &PodFacts, since: Timestamp) -> GateState {
        let end = later(since, self.limits.timeout_seconds + REPORT_SLACK_SECONDS);
        if self.now >= end {
            let message = format!(
                "the command ran longer than its limit of {} s, and its node does not report its end",
                self.limits.timeout_seconds
            );
            return self.ended(
                pod.gate.as_ref(),
                Verdict {
                    started_at: Some(since),
                    ..Verdict::of(GateOutcome::TimedOut, message, Some(end))
                },
            );
        }
        let doing = if pod.deleting {
            "its Pod is being deleted"
        } else {
            "runs"
        };
        GateState::Running {
            since,
            doing: doing.into(),
            look_again_at: Some(end),
        }
    }

    fn image_missing(
        &self,
        pod: &PodFacts,
        image: &str,
        why: &str,
        since: Timestamp,
        patience: u32,
    ) -> GateState {
        let end = later(since, patience);
        if self.now >= end {
            let message = format!("the image '{image}' cannot be pulled{why}");
            return self.ended(
                pod.gate.as_ref(),
                Verdict::of(GateOutcome::Error, message, Some(end)),
            );
        }
        GateState::Running {
            since,
            doing: format!("tries to pull the image '{image}'{why}"),
            look_again_at: Some(end),
        }
    }

    fn disrupted(&self, pod: &PodFacts, disruption: &Disruption) -> GateState {
        let why = with_reason(Some(&disruption.reason), disruption.message.as_deref());
        if disruption.reason == "DeadlineExceeded" {
            let started = pod.gate.as_ref().and_then(|gate| gate.state.started_at());
            return match started {
                Some(started_at) => {
                    let message = format!(
                        "the command ran longer than its limit of {} s and was stopped with its Pod",
                        self.limits.timeout_seconds
                    );
                    let verdict = Verdict::of(GateOutcome::TimedOut, message, None);
                    self.ended(
                        pod.gate.as_ref(),
                        Verdict {
                            started_at: Some(started_at),
                            ..verdict
                        },
                    )
                }
                None => self.error(pod, format!("it did not start in time{why}")),
            };
        }
        if disruption.retried && self.facts.job_end.is_none() {
            return self.until_started(
                later(pod.created, self.limits.timeout_seconds),
                pod.created,
                format!("waits for another Pod: the last one was ended from outside{why}"),
            );
        }
        self.error(pod, format!("its Pod was ended from outside{why}"))
    }

    /// Not started, and not too late for it. The time limit counts from `from`.
    fn until_started(&self, from: Timestamp, since: Timestamp, doing: String) -> GateState {
        let limit = self.limits.start_timeout_seconds;
        let end = later(from, limit);
        if self.now >= end {
            let message = format!("it did not start within {limit} s: {doing}");
            return self.ended(None, Verdict::of(GateOutcome::Error, message, Some(end)));
        }
        GateState::Running {
            since,
            doing,
            look_again_at: Some(end),
        }
    }

    /// The Job has ended: an error, unless the Pod's last state is only late.
    pub(super) fn after_late_pod(&self, ended: Timestamp, message: String) -> GateState {
        let end = later(ended, LATE_POD_SECONDS);
        if self.now < end {
            return GateState::Running {
                since: ended,
                doing: "waits for the last state of its Pod".into(),
                look_again_at: Some(end),
            };
        }
        let gate = self.facts.pod.as_ref().and_then(|pod| pod.gate.as_ref());
        self.ended(gate, Verdict::of(GateOutcome::Error, message, Some(ended)))
    }

    fn error(&self, pod: &PodFacts, message: String) -> GateState {
        let finished = [&pod.gate, &pod.fetch]
            .into_iter()
            .flatten()
            .find_map(|container| container.state.finished_at());
        self.ended(
            pod.gate.as_ref(),
            Verdict::of(GateOutcome::Error, message, finished),
        )
    }

    fn ended(&self, gate: Option<&ContainerFacts>, verdict: Verdict) -> GateState {
        let Verdict {
            outcome,
            mut message,
            started_at,
            finished_at,
            output,
            found,
        } = verdict;
        cut_end(&mut message, MAX_MESSAGE);
        let output = output.filter(|text| !text.is_empty()).map(|mut text| {
            cut_end(&mut text, MAX_OUTPUT);
            text
        });
        GateState::Ended(Box::new(GateResult {
            outcome,
            message,
            started_at: started_at
                .or_else(|| gate.and_then(|container| container.state.started_at())),
            finished_at,
            image_digest: gate.and_then(|container| container.image_id.clone()),
            output,
            found,
            job_uid: self.facts.job_uid.clone(),
            attempts: self.facts.attempts.max(1),
            reused: None,
        }))
    }
}

/// How long this reason may stand, in seconds, when it means that an image is missing or a container
/// cannot be made. None for reasons that pass by themselves.
fn image_patience(reason: &str) -> Option<u32> {
    match reason {
        // The node will not try again with another result.
        "InvalidImageName" | "ErrImageNeverPull" => Some(0),
        "ErrImagePull"
        | "ImagePullBackOff"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(IMAGE_PATIENCE_SECONDS),
        _ => None,
    }
}

pub(super) fn later(time: Timestamp, seconds: u32) -> Timestamp {
    time.saturating_add(SignedDuration::from_secs(i64::from(seconds)))
        .unwrap_or(Timestamp::MAX)
}
