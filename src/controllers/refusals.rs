//! The refusal of a request beside the artifact, where the policy asks for it (`recordRefusals: Registry`).
//!
//! It comes after the end: the status says how the request ended, the audit log too, and nobody waits for this.

use std::collections::BTreeMap;
use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

use super::error::Result;
use super::pass::{Pass, Stopped};
use super::perform::{claim, release_claim};
use super::report::PROMOTE;
use super::write::beside;
use crate::domain::observed::{Claim, Receipt};
use crate::domain::plan::Plan;
use crate::domain::policy::RecordRefusals;
use crate::domain::record::{refusal, refusal_type};
use crate::effects::events::{self, Note};
use crate::effects::lock::lock;
use crate::effects::records::{Document, Written};

/// How long the object is kept for a registry that does not take the refusal.
const GIVE_UP_AFTER: SignedDuration = SignedDuration::from_mins(10);
/// How soon it is tried again.
const RETRY: SignedDuration = SignedDuration::from_secs(15);

/// When those that could not be written are tried again, by UID. What a try changes in the policy wakes its
/// promotions, and must not be the reason for the next try.
#[derive(Default)]
pub(super) struct Postponed(Mutex<BTreeMap<String, Timestamp>>);

impl Postponed {
    /// Forgets a request that is let go of.
    pub(super) fn forget(&self, uid: &str) {
        lock(&self.0).remove(uid);
    }
}

/// What came of one try.
enum Tried {
    /// It is there.
    Written(Vec<Written>),
    /// Somebody else writes at this moment.
    Busy,
}

/// Writes the refusal of a request that has ended without promotion, when its policy asks for it; says when to try
/// again where that has to be. The same bytes on every try.
pub(super) async fn record(pass: &mut Pass<'_>) -> Result<Option<Timestamp>> {
    let Some((plan, statement)) = wanted(pass) else {
        return Ok(None);
    };
    let uid = pass.observed.request.uid.clone();
    let postponed = &pass.ctx.postponed_refusals;
    let not_before = lock(&postponed.0).get(&uid).copied();
    if let Some(not_before) = not_before.filter(|at| pass.now < *at) {
        return Ok(Some(not_before));
    }
    let tried = under_claim(pass, &plan, statement).await;
    let problem = match Stopped::as_value(tried)? {
        Ok(Tried::Written(written)) => {
            let place = format!("{}@{}", plan.route.repository, plan.digest);
            let referrers: Vec<&str> = written.iter().map(|one| one.referrer.as_str()).collect();
            let referrers = referrers.join(", ");
            let text = format!("the refusal is recorded beside {place}, in {referrers}");
            tell(pass, false, "RefusalRecorded", text).await;
            return Ok(None);
        }
        Ok(Tried::Busy) => format!("the write slot of '{}' is not free", plan.route.to),
        Err(trouble) => {
            pass.ctx.credentials.forget(&pass.observed.request.space);
            trouble.problem
        }
    };
    let ended = pass.status().finished_at.map_or(pass.now, |time| time.0);
    if pass.now.duration_since(ended) < GIVE_UP_AFTER {
        let text = format!(
            "the refusal is in the audit log, but not yet beside the artifact; it is tried until {}: {problem}",
            ended + GIVE_UP_AFTER
        );
        tell(pass, true, "RefusalNotRecorded", text).await;
        lock(&postponed.0).insert(uid, pass.now + RETRY);
        return Ok(Some(pass.now + RETRY));
    }
    let text = format!(
        "the refusal is in the audit log, but not beside the artifact: it was given up after {} min: {problem}",
        GIVE_UP_AFTER.as_mins()
    );
    tell(pass, true, "RefusalNotRecorded", text).await;
    Ok(None)
}

/// What to write, when the policy asks for it and it is known what the request was about.
fn wanted(pass: &Pass<'_>) -> Option<(Plan, Vec<u8>)> {
    let request = &pass.observed.request;
    let plan = pass.observed.plan.clone()?;
    let environment = pass.observed.environments.get(&plan.route.to)?;
    if request.dry_run || environment.record_refusals != RecordRefusals::Registry {
        return None;
    }
    let statement = refusal(request, &plan, &pass.status())?;
    Some((plan, statement))
}

/// Like every record it is written under the claim: two operators never write one list of referrers at once.
async fn under_claim(
    pass: &mut Pass<'_>,
    plan: &Plan,
    statement: Vec<u8>,
) -> Result<Tried, Stopped> {
    match claim(pass).await? {
        Receipt::Claim(Claim::Held, _) => {}
        _ => return Ok(Tried::Busy),
    }
    let refusal = Document {
        statement,
        predicate_type: refusal_type(&plan.route.to),
    };
    let written = beside(pass, plan, "refusal", &[refusal]).await;
    release_claim(pass).await?;
    written.map(Tried::Written)
}

async fn tell(pass: &Pass<'_>, warning: bool, reason: &str, text: String) {
    let note = Note {
        warning,
        action: PROMOTE.to_owned(),
        reason: reason.to_owned(),
        text,
    };
    events::publish(&pass.ctx.recorder, &pass.reference(), &note).await;
}
