//! What is copied for a promotion: starts it, and sees how far it is.

use std::time::Duration;

use kube::runtime::reflector::ObjectRef;

use super::copies::Progress;
use super::pass::{Pass, Stopped, trouble};
use super::perform::Done;
use crate::domain::artifact::Repository;
use crate::domain::decision::{Action, TroubleKind};
use crate::domain::observed::{Receipt, TargetCopy, Trouble};
use crate::domain::plan::Plan;
use crate::domain::policy::Verification;
use crate::domain::record::summary;
use crate::domain::replicas::{ReplicaFailure, ReplicaReason, ReplicaState, Setback};
use crate::effects::replication::{self, Holder, NotReplicated, Site, Summary, Terms};

/// How long a new try may run before it counts as under way, and not as part of the trouble before it.
const PROVES_ITSELF: Duration = Duration::from_mins(1);

/// Copies the artifact into the environment's own repository.
pub(super) async fn copy_to_target(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let what = "copy to the target";
    let known = pass.look_at_copy(what).await;
    let progress = if let Some(progress) = known {
        progress
    } else {
        let from = source(pass, &plan).await?;
        let to = target(pass, &plan).await?;
        let digest = plan.digest.clone();
        let copy = async move { replication::copy(&from, &to, &digest).await };
        start(pass, what, copy).await
    };
    let uid = pass.observed.request.uid.clone();
    match progress {
        Progress::Running(age) => match pass.ctx.copies.trouble_before(&uid) {
            Some(before) if age < PROVES_ITSELF => Err(Stopped::Trouble(before)),
            Some(_) | None => Ok(Receipt::TargetCopy(TargetCopy::Copying)),
        },
        Progress::Ended(end) => match end.as_ref() {
            Ok(()) => Ok(Receipt::TargetCopy(TargetCopy::Complete)),
            Err(error) => {
                let trouble = trouble_of(error);
                pass.ctx.copies.remember_trouble(&uid, trouble.clone());
                Err(Stopped::Trouble(trouble))
            }
        },
    }
}

/// Does something at a replica, and sees how far that is.
pub(super) async fn at_replica(pass: &mut Pass<'_>, action: &Action, name: &str) -> Done {
    let before = pass.observed.replica_state(name).failure().cloned();
    let what = what(pass, action, name);
    let progress = match pass.look_at_copy(&what).await {
        Some(progress) => progress,
        None => match begin(pass, action, name, &what).await {
            Ok(progress) => progress,
            Err(Stopped::Trouble(trouble)) => {
                return Ok(failed(
                    pass,
                    name,
                    before.as_ref(),
                    setback_of_trouble(trouble),
                ));
            }
            Err(error) => return Err(error),
        },
    };
    let state = match progress {
        Progress::Running(age) => ReplicaState::Copying {
            after: before.filter(|_| age < PROVES_ITSELF),
        },
        Progress::Ended(end) => match end.as_ref() {
            Ok(()) => match action {
                Action::TagReplica(_) => ReplicaState::Tagged,
                Action::MoveReplicaLatest(_) => {
                    pass.ctx.metrics.replicated("Replicated");
                    ReplicaState::Replicated
                }
                _ => ReplicaState::Copied,
            },
            Err(error) => return Ok(failed(pass, name, before.as_ref(), setback_of(error))),
        },
    };
    Ok(Receipt::Replica(name.to_owned(), state))
}

/// What is done where: a replica that gets another repository under its old name is another place.
fn what(pass: &Pass<'_>, action: &Action, name: &str) -> String {
    let replicas = pass.observed.replicas_planned();
    let replica = replicas.iter().find(|replica| replica.name == name);
    let place = replica.map(|replica| replica.repository.to_string());
    format!("{action:?} in {}", place.unwrap_or_default())
}

async fn begin(
    pass: &mut Pass<'_>,
    action: &Action,
    name: &str,
    what: &str,
) -> Result<Progress, Stopped> {
    let plan = pass.plan()?;
    let to = pass.replica(&plan.route, name).await?;
    let digest = plan.digest.clone();
    Ok(match action {
        Action::MoveReplicaLatest(_) => {
            let client = pass.ctx.client.clone();
            let request = &pass.observed.request;
            let holder = Holder {
                space: request.space.clone(),
                environment: plan.route.to.clone(),
                artifact: plan.route.artifact.clone(),
                uid: request.uid.clone(),
                digest,
            };
            let latest = plan.route.latest_tag.clone();
            let copy =
                async move { replication::move_latest(&client, &holder, &to, &latest).await };
            start(pass, what, copy).await
        }
        Action::TagReplica(_) => {
            let from = target(pass, &plan).await?;
            let terms = Terms {
                summary: summary_of(pass, &plan, &to.repository).await?,
                ..terms(pass, &plan).await?
            };
            let copy = async move { replication::copy_and_tag(&from, &to, &digest, &terms).await };
            start(pass, what, copy).await
        }
        _ => {
            let from = source(pass, &plan).await?;
            let terms = terms(pass, &plan).await?;
            let copy =
                async move { replication::copy_without_tag(&from, &to, &digest, &terms).await };
            start(pass, what, copy).await
        }
    })
}

/// Starts a copy beside the pass, and waits a little: a small one is done at once.
async fn start(
    pass: &mut Pass<'_>,
    what: &str,
    copy: impl Future<Output = Result<(), NotReplicated>> + Send + 'static,
) -> Progress {
    let request = &pass.observed.request;
    let object = ObjectRef::new(&request.name).within(&request.space);
    pass.ctx.copies.start(&request.uid, what, object, copy);
    pass.look_at_copy(what)
        .await
        .unwrap_or(Progress::Running(Duration::ZERO))
}

/// What is checked at a replica beside its parts: where a signature counted at the source, one has to count there.
async fn terms(pass: &Pass<'_>, plan: &Plan) -> Result<Terms, Stopped> {
    let counted = pass.observed.signature.as_ref();
    let counted = counted.is_some_and(|signature| signature.verified);
    let environment = pass.observed.environments.get(&plan.route.to);
    let rule = environment
        .filter(|environment| environment.verification == Verification::SignatureMatch)
        .and_then(|environment| environment.signature.as_ref())
        .filter(|_| counted);
    let signed = match rule {
        Some(rule) => Some(pass.trust(rule).await?),
        None => None,
    };
    let tag = plan.route.tag.clone();
    Ok(Terms {
        tag,
        signed,
        summary: None,
    })
}

/// What is said of a replica's tag, signed like the record.
async fn summary_of(
    pass: &Pass<'_>,
    plan: &Plan,
    repository: &Repository,
) -> Result<Option<Summary>, Stopped> {
    let status = pass.status();
    let Some(intent) = &status.intent else {
        return Ok(None);
    };
    let space = &pass.observed.request.space;
    Ok(Some(Summary {
        statement: summary(space, plan, &status, intent, repository),
        key: pass.signing_key().await?,
    }))
}

/// Where the artifact comes from.
async fn source(pass: &Pass<'_>, plan: &Plan) -> Result<Site, Stopped> {
    Ok(Site {
        registry: pass.source_registry(&plan.route).await?,
        repository: plan.route.source().clone(),
    })
}

/// The environment's own repository.
async fn target(pass: &Pass<'_>, plan: &Plan) -> Result<Site, Stopped> {
    Ok(Site {
        registry: pass.registry(&plan.route).await?,
        repository: plan.route.repository.clone(),
    })
}

fn failed(
    pass: &Pass<'_>,
    name: &str,
    before: Option<&ReplicaFailure>,
    setback: Setback,
) -> Receipt {
    pass.ctx.credentials.forget(&pass.observed.request.space);
    pass.ctx.metrics.replicated(setback.reason.as_str());
    let failure = ReplicaFailure::after(before, setback, pass.now);
    Receipt::Replica(name.to_owned(), ReplicaState::Failed(failure))
}

fn setback_of(error: &NotReplicated) -> Setback {
    let (reason, missing) = match error {
        NotReplicated::Registry(error) => {
            return setback_of_trouble(trouble(error));
        }
        NotReplicated::Taken { found, .. } => {
            let found = found.clone();
            (ReplicaReason::TagTaken { found }, Vec::new())
        }
        NotReplicated::Missing(missing) => (ReplicaReason::Incomplete, missing.clone()),
        NotReplicated::Unsigned(_) => (ReplicaReason::SignatureInvalid, Vec::new()),
        NotReplicated::Ledger(_) | NotReplicated::NoLedger(_) => (
            ReplicaReason::Registry(TroubleKind::RegistryUnavailable),
            Vec::new(),
        ),
    };
    Setback {
        reason,
        problem: error.to_string(),
        missing,
        not_before: None,
    }
}

fn setback_of_trouble(trouble: Trouble) -> Setback {
    Setback {
        reason: ReplicaReason::Registry(trouble.kind),
        problem: trouble.problem,
        missing: Vec::new(),
        not_before: trouble.not_before,
    }
}

/// What a failed copy into the environment's own repository means for the promotion.
fn trouble_of(error: &NotReplicated) -> Trouble {
    match error {
        NotReplicated::Registry(error) => trouble(error),
        NotReplicated::Missing(missing) => Trouble {
            kind: TroubleKind::RegistryUnavailable,
            problem: format!("{error}: {}", missing.join(", ")),
            not_before: None,
        },
        NotReplicated::Taken { .. }
        | NotReplicated::Unsigned(_)
        | NotReplicated::NoLedger(_)
        | NotReplicated::Ledger(_) => Trouble {
            kind: TroubleKind::RegistryUnavailable,
            problem: error.to_string(),
            not_before: None,
        },
    }
}
