//! The writes of a promotion, each under the claim of this pass.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::audit_log;
use super::error::{Error, Result, api};
use super::pass::{Pass, Stopped};
use crate::api::{Baseline, LedgerEntry, Promotion, PromotionStatus};
use crate::domain::decision::TroubleKind;
use crate::domain::observed::{Receipt, TagWrite, Trouble};
use crate::domain::plan::Plan;
use crate::domain::record::{Recorded, VSA_TYPE, own, predicate_type, statement, summary};
use crate::effects::records::{Document, Written};
use crate::effects::registry::{
    RawManifest, Reference, Registry, RegistryError, TagReceipt, TagRefusal,
};
use crate::effects::{ledger, records};

type Done = Result<Receipt, Stopped>;

/// Puts `<version>-<suffix>` on the pinned digest, when the source tag still names it.
pub(super) async fn tag(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let route = &plan.route;
    // Nothing is written that could not be recorded afterwards.
    pass.signing_key().await?;
    audit_log::intent(pass).await?;
    let source = pass
        .source_registry(route)
        .await?
        .head_manifest(route.source(), &Reference::from(&route.source_tag))
        .await?;
    let registry = pass.registry(route).await?;
    let found = source.map(|head| head.digest);
    if found.as_ref() != Some(&plan.digest) {
        // The tag may have been written before a crash: then the move of the source came too late to matter.
        let target = registry
            .head_manifest(&route.repository, &Reference::from(&route.tag))
            .await?;
        let written = target.is_some_and(|head| head.digest == plan.digest);
        return Ok(Receipt::Tag(if written {
            TagWrite::AlreadyThere
        } else {
            TagWrite::SourceMoved(found)
        }));
    }
    let manifest = manifest(pass, &registry, &plan).await?;
    Ok(Receipt::Tag(
        match registry.tag(&route.repository, &route.tag, &manifest).await {
            Ok(TagReceipt::Written) => TagWrite::Written,
            Ok(TagReceipt::AlreadyThere) => TagWrite::AlreadyThere,
            Err(TagRefusal::Taken { found, .. }) => TagWrite::Taken(found),
            Err(TagRefusal::Registry(error)) => return Err(error.into()),
        },
    ))
}

/// Looks for a record of this very request among the digest's referrers.
pub(super) async fn find_own_record(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let registry = pass.registry(&plan.route).await?;
    let keys = pass.public_keys().await?;
    let found = records::find(&registry, &plan.route.repository, &plan.digest, &keys).await?;
    Ok(Receipt::OwnRecord(own(&found, &pass.observed.request)))
}

/// Writes the record beside the artifact, and the summary that it names. Their bytes follow from the stored status alone.
pub(super) async fn record(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let status = pass.status();
    let Some(intent) = status.intent.clone() else {
        return Err(Error::Restless(0).into());
    };
    let (request, repository) = (&pass.observed.request, &plan.route.repository);
    // The record last: who finds it finds the summary too, also after a crash between the two.
    let documents = [
        Document {
            statement: summary(&request.space, &plan, &status, &intent, repository),
            predicate_type: VSA_TYPE.to_owned(),
        },
        Document {
            statement: statement(request, &plan, &status, &intent),
            predicate_type: predicate_type(&plan.route.to),
        },
    ];
    let written = beside(pass, &plan, "promotion", &documents).await?;
    let [summary, record] = written.as_slice() else {
        return Err(Error::Restless(0).into());
    };
    Ok(Receipt::Record(Recorded {
        record: record.record.clone(),
        referrer: record.referrer.clone(),
        sequence: intent.sequence,
        summary: Some(summary.referrer.clone()),
    }))
}

/// Signs documents and writes them beside the pinned digest, in the environment's repository. `about` is in the names
/// of the annotations, which are for people.
pub(super) async fn beside(
    pass: &Pass<'_>,
    plan: &Plan,
    about: &str,
    documents: &[Document],
) -> Result<Vec<Written>, Stopped> {
    let registry = pass.registry(&plan.route).await?;
    let key = pass.signing_key().await?;
    let subject = manifest(pass, &registry, plan).await?;
    let named = |what: &str| format!("dev.floe.{about}.{what}");
    let (environment, version) = (named("environment"), named("version"));
    let annotations = [
        (environment.as_str(), plan.route.to.as_str()),
        (version.as_str(), plan.route.version.as_str()),
    ];
    let repository = &plan.route.repository;
    Ok(records::write(
        &registry,
        repository,
        &subject,
        documents,
        &key,
        &annotations,
    )
    .await?)
}

/// Puts `latest-<suffix>` on the pinned digest.
pub(super) async fn latest(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let registry = pass.registry(&plan.route).await?;
    let manifest = manifest(pass, &registry, &plan).await?;
    registry
        .move_tag(&plan.route.repository, &plan.route.latest_tag, &manifest)
        .await?;
    Ok(Receipt::Latest)
}

/// Enters the promotion into the ledger and gives the claim back, in one write.
pub(super) async fn settle(pass: &mut Pass<'_>) -> Done {
    let plan = pass.plan()?;
    let entry = ledger_entry(&pass.promotion, pass.observed.record.as_ref(), &plan)?;
    let known = pass.claim.take().map(|(_, policy)| policy);
    let request = &pass.observed.request;
    let (to, artifact) = (&plan.route.to, &plan.route.artifact);
    let measured = measured(&pass.status());
    let settled = ledger::settle(
        &pass.ctx.client,
        &request.space,
        (to, artifact),
        known,
        entry,
        measured,
    );
    if api("enter the promotion into the ledger", Box::pin(settled)).await? {
        return Ok(Receipt::Settled);
    }
    Ok(Receipt::Trouble(Trouble {
        kind: TroubleKind::RegistryUnavailable,
        problem: format!(
            "the claim on '{to}' has gone to another promotion before this one was entered into the ledger"
        ),
        not_before: None,
    }))
}

/// What the gates have measured: later promotions are compared with it.
fn measured(status: &PromotionStatus) -> Vec<Baseline> {
    status
        .gates
        .iter()
        .filter(|gate| !gate.values.is_empty())
        .map(|gate| Baseline {
            gate: gate.name.clone(),
            values: gate.values.clone(),
        })
        .collect()
}

fn ledger_entry(
    promotion: &Promotion,
    record: Option<&Recorded>,
    plan: &Plan,
) -> Result<LedgerEntry> {
    let intent = promotion
        .status
        .as_ref()
        .and_then(|status| status.intent.as_ref())
        .ok_or(Error::Restless(0))?;
    Ok(LedgerEntry {
        version: plan.route.version.to_string(),
        digest: plan.digest.to_string(),
        promoted_at: Time(intent.decided_at.0),
        by: promotion.spec.requested_by.clone(),
        promotion: promotion.metadata.name.clone(),
        uid: promotion.metadata.uid.clone(),
        audit: record.map(Recorded::to_api),
    })
}

/// The bytes of the pinned manifest: as they were read when the plan was made, else by digest.
async fn manifest(
    pass: &Pass<'_>,
    registry: &Registry,
    plan: &Plan,
) -> Result<RawManifest, Stopped> {
    let repository = &plan.route.repository;
    if let Some(kept) = pass.ctx.manifests.get(repository, &plan.digest) {
        return Ok(kept);
    }
    let found: Result<_, RegistryError> = registry
        .get_manifest(repository, &Reference::from(&plan.digest))
        .await;
    let Some(manifest) = found? else {
        return Err(Stopped::Trouble(Trouble {
            kind: TroubleKind::RegistryUnavailable,
            problem: format!(
                "the manifest {repository}@{} is not in the registry",
                plan.digest
            ),
            not_before: None,
        }));
    };
    pass.ctx.manifests.insert(repository, &manifest);
    Ok(manifest)
}
