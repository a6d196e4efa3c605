//! Values to world: does what a decision says, and returns what came of it.

use super::error::{Error, Result, api};
use super::pass::{Pass, Stopped};
use super::report::PROMOTE;
use super::{audit_log, environments, gates, replicas, signatures, write};
use crate::domain::artifact::Digest;
use crate::domain::decision::{Action, Decision, RunningGate, Stage, WaitingOn};
use crate::domain::observed::{Claim, Receipt, Source, TagState};
use crate::domain::plan::{Plan, Route};
use crate::domain::policy::SignatureRule;
use crate::domain::record;
use crate::domain::request::Request;
use crate::domain::status::{Decider, intent, stated, status_of, with_intent};
use crate::domain::verdict::PlannedGate;
use crate::effects::ledger::{self, ClaimRequest, Claimed};
use crate::effects::registry::{ErrorKind, Reference};
use crate::effects::{clock, records};

/// Does one thing. What the registry refuses is a receipt; what the API server refuses is an error.
pub(super) async fn perform(pass: &mut Pass<'_>, action: &Action) -> Result<Receipt> {
    let done = match action {
        Action::ReadSource => read_source(pass).await,
        Action::ReadTarget => read_target(pass).await,
        Action::FindUpstreamRecord => find_upstream_record(pass).await,
        Action::PinPlan => pin_plan(pass).await,
        Action::VerifySignature => signatures::verify(pass).await,
        Action::FindEarlierResults => gates::find_earlier_results(pass).await,
        Action::StartGate(name) => Box::pin(gates::start_gate(pass, name)).await,
        Action::CopyToTarget => replicas::copy_to_target(pass).await,
        Action::CopyToReplica(name)
        | Action::TagReplica(name)
        | Action::MoveReplicaLatest(name) => replicas::at_replica(pass, action, name).await,
        Action::Claim => claim(pass).await,
        Action::ReleaseClaim => Box::pin(release_claim(pass)).await,
        Action::StateIntent => state_intent(pass).await,
        Action::WriteTag => write::tag(pass).await,
        Action::FindOwnRecord => write::find_own_record(pass).await,
        Action::WriteRecord => write::record(pass).await,
        Action::MoveLatest => write::latest(pass).await,
        Action::Settle => Box::pin(write::settle(pass)).await,
    };
    match done {
        Ok(receipt) => Ok(receipt),
        Err(Stopped::Trouble(trouble)) => {
            pass.ctx.credentials.forget(&pass.observed.request.space);
            Ok(Receipt::Trouble(trouble))
        }
        Err(Stopped::Error(error)) => Err(error),
    }
}

pub(super) type Done = Result<Receipt, Stopped>;

async fn read_source(pass: &mut Pass<'_>) -> Done {
    let route = route(pass)?;
    let registry = pass.source_registry(&route).await?;
    let tag = Reference::from(&route.source_tag);
    Ok(Receipt::Source(
        match registry.get_manifest(route.source(), &tag).await {
            Ok(None) => Source::Absent,
            Ok(Some(manifest)) => {
                pass.ctx.manifests.insert(route.source(), &manifest);
                let media_type = manifest.media_type().as_str().to_owned();
                Source::Manifest {
                    digest: manifest.digest().clone(),
                    media_type,
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::TooLarge | ErrorKind::Unsupported => {
                    Source::Unsupported(error.to_string())
                }
                _ => return Err(error.into()),
            },
        },
    ))
}

async fn read_target(pass: &mut Pass<'_>) -> Done {
    let route = route(pass)?;
    let registry = pass.registry(&route).await?;
    let head = registry
        .head_manifest(&route.repository, &Reference::from(&route.tag))
        .await?;
    Ok(Receipt::Target(head.map_or(TagState::Absent, |head| {
        TagState::Names(head.digest)
    })))
}

async fn find_upstream_record(pass: &mut Pass<'_>) -> Done {
    let route = route(pass)?;
    let Some((from, digest)) = route.from.as_ref().zip(source_digest(pass)) else {
        return Ok(Receipt::UpstreamRecord(false));
    };
    let registry = pass.source_registry(&route).await?;
    let keys = pass.public_keys().await?;
    let in_ledger = pass.in_ledger(from, &route.artifact, &digest);
    let found =
        records::find_vouched(&registry, route.source(), &digest, &keys, &in_ledger).await?;
    let space = &pass.observed.request.space;
    let version = route.version.as_str();
    Ok(Receipt::UpstreamRecord(record::promoted_into(
        &found,
        space,
        &route.artifact,
        version,
        from,
    )))
}

/// The plan goes into the status before anything else is done, and names the gates that will run.
async fn pin_plan(pass: &mut Pass<'_>) -> Done {
    let route = route(pass)?;
    let Some(Source::Manifest { digest, media_type }) = pass.observed.source.clone() else {
        return Err(Error::Restless(0).into());
    };
    let plan = Plan {
        route,
        digest,
        media_type,
        resolved_at: pass.now,
    };
    let mut observed = pass.observed.clone();
    observed.fold(Receipt::Pinned(plan.clone()));
    let gates = gates::of(pass, &plan);
    let starting = |gate: &PlannedGate| RunningGate {
        name: gate.name.clone(),
        doing: "starting".to_owned(),
    };
    let waiting_on = WaitingOn::Gates {
        running: gates.iter().map(starting).collect(),
        not_passed: Vec::new(),
    };
    let decision = Decision::wait(Stage::Gating, waiting_on, pass.now);
    let generation = pass.promotion.metadata.generation.unwrap_or_default();
    let status = status_of(&pass.status(), generation, &observed, &decision, pass.now);
    pass.store_status("store the plan", status).await?;
    if !asks_for_signature(pass, &plan) {
        note_gates_started(pass, &plan);
    }
    Ok(Receipt::Pinned(plan))
}

/// An Event for gates that are about to start.
pub(super) fn note_gates_started(pass: &mut Pass<'_>, plan: &Plan) {
    let gates = gates::of(pass, plan);
    let names: Vec<&str> = gates.iter().map(|gate| gate.name.as_str()).collect();
    let text = format!(
        "{}:{} names {}; gates: {}",
        plan.route.source(),
        plan.route.source_tag,
        plan.digest,
        names.join(", ")
    );
    pass.note(false, PROMOTE, "GatesStarted", text);
}

fn asks_for_signature(pass: &Pass<'_>, plan: &Plan) -> bool {
    let environment = pass.observed.environments.get(&plan.route.to);
    let rule = environment.and_then(|environment| environment.signature.as_ref());
    rule.is_some_and(SignatureRule::asks)
}

pub(super) async fn claim(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    // Nobody is to wait for who cannot write.
    audit_log::ready(pass).await?;
    let request = pass.observed.request.clone();
    let asked = claim_request(pass, &request, &plan);
    let read_at = clock::instant();
    let answer = api(
        "claim the environment",
        ledger::claim(&pass.ctx.client, &asked, pass.now),
    )
    .await?;
    let own = answer
        .policies
        .iter()
        .find(|policy| policy.metadata.name.as_deref() == Some(&plan.route.to))
        .cloned();
    if let Some(policy) = &own {
        audit_log::taken_over(pass, policy, answer.taken_from.as_ref()).await?;
    }
    let environments =
        environments::fresh(&pass.ctx.stores.policies, &request.space, answer.policies);
    let claim = match (answer.claimed, own) {
        (Claimed::Held, Some(policy)) => {
            pass.claim = Some((read_at, policy));
            Claim::Held
        }
        (Claimed::Inherited(until), _) => Claim::Inherited { until },
        (Claimed::Busy(holder), _) => Claim::Busy { holder },
        (Claimed::NoLedger | Claimed::Held, _) => Claim::Released,
    };
    Ok(Receipt::Claim(claim, environments))
}

pub(super) async fn release_claim(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let request = pass.observed.request.clone();
    let asked = claim_request(pass, &request, &plan);
    let released = ledger::release(&pass.ctx.client, &asked, pass.now);
    let released = api("give the environment's claim back", Box::pin(released)).await?;
    pass.claim = None;
    if let Some(from) = &released.taken_from {
        audit_log::taken_over_to_give_back(pass, from).await?;
    }
    Ok(Receipt::Claim(
        released
            .not_before
            .map_or(Claim::Released, |until| Claim::Inherited { until }),
        pass.observed.environments.clone(),
    ))
}

fn claim_request<'a>(pass: &Pass<'_>, request: &'a Request, plan: &'a Plan) -> ClaimRequest<'a> {
    let (tag, digest) = (plan.route.tag.as_str(), plan.digest.as_str());
    let holder = &pass.ctx.settings.identity;
    ClaimRequest {
        space: &request.space,
        environment: &plan.route.to,
        artifact: &plan.route.artifact,
        slot: ledger::slot_of(&request.name, &request.uid, tag, digest, holder, pass.now),
    }
}

/// What the record will say is fixed here, before the first tag.
async fn state_intent(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let Some(environment) = pass.observed.environments.get(&plan.route.to) else {
        return Err(Error::Restless(0).into());
    };
    let log = audit_log::ready(pass).await?;
    let decider = Decider {
        version: env!("CARGO_PKG_VERSION"),
        instance: &pass.ctx.settings.identity,
        log: &log,
    };
    let before = pass.status();
    let observed = &pass.observed;
    let intent = intent(&before, &plan, observed, environment, decider, pass.now);
    let generation = pass.promotion.metadata.generation.unwrap_or_default();
    let status = with_intent(&before, generation, observed, intent, pass.now);
    let stated = stated(&status).ok_or(Error::Restless(0))?;
    pass.store_status("state the intent", status).await?;
    Ok(Receipt::Intent(stated))
}

/// The route of the plan, or of the request while there is no plan.
fn route(pass: &Pass<'_>) -> Result<Route, Stopped> {
    if let Some(plan) = &pass.observed.plan {
        return Ok(plan.route.clone());
    }
    Route::resolve(&pass.observed.request, &pass.observed.environments)
        .map_err(|_| Error::Restless(0).into())
}

fn source_digest(pass: &Pass<'_>) -> Option<Digest> {
    match &pass.observed.source {
        Some(Source::Manifest { digest, .. }) => Some(digest.clone()),
        Some(Source::Absent | Source::Unsupported(_)) | None => None,
    }
}
